//! What a saga starts: tasks, one for each entry of a list, and other sagas.

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::draft::seconds;
use super::term::{Place, Term};
use super::typed::{Event, FailureEvent, JoinedEvent, TaskKind, Terms};

/// A task that a saga issues, or that undoes something. It answers an `O`.
#[derive(Debug, Clone)]
#[must_use = "a task is issued by the transition that it is given to"]
pub struct Task<O> {
    fields: Map<String, Value>,
    raises: Map<String, Value>,
    compensation: Vec<Value>,
    types: PhantomData<fn() -> O>,
}

/// The answer of a task of which only the name is known.
#[derive(Debug, Clone, Copy)]
pub struct Anything;

/// Answers that an event may have as its data.
#[diagnostic::on_unimplemented(
    message = "the task answers `{Self}`, which are not the data of the event `{E}`",
    label = "the data of the event are what the task answers: make the event its output"
)]
pub trait Becomes<E> {}

impl<E: Event> Becomes<E> for E {}

impl<E: Event> Becomes<E> for Anything {}

/// A task with its input: what each field of its kind becomes.
pub fn task<T>(input: T) -> Task<<T::Of as TaskKind>::Answer>
where
    T: Terms<Of: TaskKind>,
{
    Task::new(T::Of::TASK, input.whole().json())
}

impl Task<Anything> {
    /// One that is known by its name, such as `http` or `python`, or one of other people.
    pub fn named<T>(name: &str, input: Term<T>) -> Self {
        Self::new(name, input.json())
    }
}

impl<O> Task<O> {
    fn new(name: &str, input: Value) -> Self {
        let mut fields = Map::new();
        fields.insert("name".to_owned(), name.into());
        // Nothing is what a task without input has.
        if !input.is_null() && input != json!({}) {
            fields.insert("input".to_owned(), input);
        }
        Self {
            fields,
            raises: Map::new(),
            compensation: Vec::new(),
            types: PhantomData,
        }
    }

    /// Anything else that a task may have, as `POST /api/tasks` takes it.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Who runs it.
    pub fn target(self, target: &str) -> Self {
        self.field("target", target)
    }

    /// How long it may live from when it is due, whatever it waits for.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.field("ttl_seconds", seconds(ttl))
    }

    /// The limit of one attempt.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.field("timeout_seconds", seconds(timeout))
    }

    /// How long it waits before it is due.
    pub fn delay(self, delay: Duration) -> Self {
        self.field("delay_seconds", seconds(delay))
    }

    /// `N` means N + 1 attempts.
    pub fn max_retries(self, retries: u16) -> Self {
        self.field("max_retries", retries)
    }

    pub fn priority(self, priority: u8) -> Self {
        self.field("priority", priority)
    }

    /// What undoes it: registered when it is issued, and run if it succeeded or nobody knows how far it came.
    pub fn compensate_with<U>(mut self, undo: Task<U>) -> Self {
        self.compensation.push(undo.body());
        self
    }

    /// What its success and its failure raise.
    pub fn raises<S: Event, F: FailureEvent>(self) -> Self
    where
        O: Becomes<S>,
    {
        self.raises_success::<S>().raises_failure::<F>()
    }

    pub fn raises_success<E: Event>(self) -> Self
    where
        O: Becomes<E>,
    {
        self.raising("success", E::NAME)
    }

    /// Also where it was cancelled or has expired, unless that raises something of its own.
    pub fn raises_failure<E: FailureEvent>(self) -> Self {
        self.raising("failure", E::NAME)
    }

    pub fn raises_cancelled<E: FailureEvent>(self) -> Self {
        self.raising("cancelled", E::NAME)
    }

    pub fn raises_expired<E: FailureEvent>(self) -> Self {
        self.raising("expired", E::NAME)
    }

    fn raising(mut self, end: &str, event: &str) -> Self {
        self.raises.insert(end.to_owned(), event.into());
        self
    }

    /// What undoes something has neither events nor anything that undoes it.
    pub(super) fn body(self) -> Value {
        let mut fields = self.fields;
        // They are told as what they are: fields that it does not have.
        put(&mut fields, "raises", self.raises);
        put_list(&mut fields, "compensation", self.compensation);
        Value::Object(fields)
    }
}

/// A task for each entry of a list. What comes of them is [`join`](Each::join)ed.
#[derive(Debug)]
#[must_use = "who joins its tasks?"]
pub struct Each<O> {
    list: Value,
    task: Task<O>,
}

/// A task for each entry of a list, and what is raised when all have ended.
#[derive(Debug)]
#[must_use = "it is issued by the transition that it is given to"]
pub struct Joined(Value);

/// A task for each entry of a list: the closure sees the entry, and its number from 0.
pub fn for_each<T, O>(list: Term<Vec<T>>, task: impl FnOnce(Term<T>, Term<u64>) -> Task<O>) -> Each<O> {
    Each {
        list: list.json(),
        task: task(Place::of("item").itself(), Place::of("index").itself()),
    }
}

impl<O> Each<O> {
    /// Raised once when all have ended. If one fails, the others are cancelled, and the failure of the task is raised instead.
    pub fn join<E: JoinedEvent<O>>(self) -> Joined {
        self.joined(&json!({"raises": E::NAME}))
    }

    /// Raised once when all have ended, however they ended.
    pub fn join_however<E: JoinedEvent<O>>(self) -> Joined {
        self.joined(&json!({"raises": E::NAME, "on_partial_failure": "continue"}))
    }

    fn joined(self, join: &Value) -> Joined {
        let task = self.task.field("for_each", self.list).field("join", join.clone());
        Joined(task.body())
    }
}

/// Another saga, whose end raises an event in this one.
#[derive(Debug)]
#[must_use = "it is started by the transition that it is given to"]
pub struct Child {
    fields: Map<String, Value>,
    raises: Map<String, Value>,
    compensation: Vec<Value>,
}

/// Another saga by the name of its definition.
pub fn child(saga: &str) -> Child {
    let mut fields = Map::new();
    fields.insert("saga".to_owned(), saga.into());
    Child {
        fields,
        raises: Map::new(),
        compensation: Vec::new(),
    }
}

impl Child {
    /// By what it is known. Without one it is made of the id of this saga.
    pub fn correlation_id(mut self, id: impl Into<Term<String>>) -> Self {
        self.fields.insert("correlation_id".to_owned(), id.into().json());
        self
    }

    pub fn input(mut self, input: impl Terms) -> Self {
        self.fields.insert("input".to_owned(), input.whole().json());
        self
    }

    /// What undoes it when this saga compensates.
    pub fn compensate_with<O>(mut self, undo: Task<O>) -> Self {
        self.compensation.push(undo.body());
        self
    }

    /// What its completion and its failure raise.
    pub fn raises<S: Event, F: Event>(mut self) -> Self {
        self.raises.insert("success".to_owned(), S::NAME.into());
        self.raises.insert("failure".to_owned(), F::NAME.into());
        self
    }
}

/// What a transition, an entry or an exit starts.
#[derive(Debug)]
pub struct Action(pub(super) Value);

impl<O> From<Task<O>> for Action {
    fn from(task: Task<O>) -> Self {
        Self(task.body())
    }
}

impl From<Joined> for Action {
    fn from(Joined(task): Joined) -> Self {
        Self(task)
    }
}

impl From<Child> for Action {
    fn from(child: Child) -> Self {
        let mut fields = child.fields;
        put(&mut fields, "raises", child.raises);
        put_list(&mut fields, "compensation", child.compensation);
        Self(Value::Object(fields))
    }
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Map<String, Value>) {
    if !value.is_empty() {
        fields.insert(name.to_owned(), Value::Object(value));
    }
}

fn put_list(fields: &mut Map<String, Value>, name: &str, values: Vec<Value>) {
    if !values.is_empty() {
        fields.insert(name.to_owned(), Value::Array(values));
    }
}
