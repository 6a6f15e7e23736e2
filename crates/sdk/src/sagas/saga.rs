//! A saga as it stands.

use std::any::type_name;

use orchestratum_core::saga::builder::States;
use orchestratum_core::saga::{CompensationStatus, Fields, SagaStatus, TimerKind};
use orchestratum_core::{JsonText, SagaId, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{CommandId, Error, Fault, State};

/// A saga as it stands.
#[derive(Debug, Clone, Deserialize)]
pub struct Saga {
    pub id: SagaId,
    /// The name of its definition.
    pub definition: String,
    /// The version with which it began, or to which it was moved since.
    pub definition_version: u32,
    pub correlation_id: String,
    /// The saga that started it.
    pub parent_id: Option<SagaId>,
    pub status: SagaStatus,
    /// The name of its state: see [`state_in`](Self::state_in).
    pub state: String,
    /// What it asks somebody for: answer with [`Sagas::input`](super::Sagas::input).
    pub awaiting: Option<AwaitedInput>,
    /// Its tasks that are not over; of very many, the first hundred.
    pub tasks: Vec<LiveTask>,
    /// Its child sagas that are not over; of very many, the first hundred.
    #[serde(default)]
    pub sagas: Vec<LiveChild>,
    /// What is to be undone if it fails from here on, in the order in which that happens; and what could not be undone.
    pub compensations: Vec<Compensation>,
    /// What could not be done and waits for a decision: [`Sagas::retry`](super::Sagas::retry).
    pub parked: Vec<Parked>,
    /// Events that came too early and wait for a state that takes them, the oldest first.
    pub deferred: Vec<Deferred>,
    /// What will happen to it by itself and when, in that order; of very much, the first hundred. Where one saga was asked for, by
    /// [`get`](super::Sagas::get) or [`wait`](super::Sagas::wait); `None` in lists and after a change.
    pub timers: Option<Vec<DueTimer>>,
    /// How much has happened to it.
    pub version: u64,
    pub created_at: Timestamp,
    /// When something happened to it last.
    pub updated_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub(crate) input: JsonText,
    pub(crate) context: Fields,
}

impl Saga {
    /// What it was started with.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it is of another shape.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.input
            .parse()
            .map_err(|error| unreadable(format!("input of saga {}", self.id), &error))
    }

    /// What it keeps. A field that nothing has set is not there: in the type it is an `Option`.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it is of another shape.
    pub fn context<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let told = |error: &serde_json::Error| unreadable(format!("context of saga {}", self.id), error);
        let context = serde_json::to_string(&self.context).map_err(|error| told(&error))?;
        // Its values were checked when they came.
        JsonText::trusted(context).parse().map_err(|error| told(&error))
    }

    /// Its state, as one of an enum.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the enum does not have it, as when the saga runs by an older version of its definition.
    pub fn state_in<S: States>(&self) -> Result<&'static S, Error> {
        let found = S::ALL.iter().find(|state| state.name() == self.state);
        found.ok_or_else(|| Error::Unreadable {
            what: format!("state of saga {}", self.id),
            reason: format!("{} has none that is called `{}`", type_name::<S>(), self.state),
        })
    }

    /// Whether this is its state.
    pub fn is_in<S: States>(&self, state: &S) -> bool {
        self.state == state.name()
    }
}

pub(super) fn unreadable(what: String, error: &serde_json::Error) -> Error {
    Error::Unreadable {
        what,
        reason: error.to_string(),
    }
}

/// A question to a person, or a service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AwaitedInput {
    /// What the answer raises.
    pub event: String,
    pub prompt: String,
    pub(crate) schema: Option<JsonText>,
}

impl AwaitedInput {
    /// The JSON Schema of the answer, as a text.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_ref().map(JsonText::as_str)
    }
}

/// A task of a saga that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LiveTask {
    /// By which the saga knows it.
    pub number: u32,
    pub id: CommandId,
    pub name: String,
    pub target: String,
    pub status: State,
    /// Whether it undoes something.
    pub compensation: bool,
}

/// A child of a saga that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LiveChild {
    /// By which the saga knows it.
    pub number: u32,
    pub id: SagaId,
    /// The name of its definition.
    pub definition: String,
    pub correlation_id: String,
    pub status: SagaStatus,
    /// The name of its state.
    pub state: String,
}

/// Something to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Compensation {
    /// By which it is retried or skipped.
    pub number: u32,
    /// Of its task.
    pub name: String,
    pub status: CompensationStatus,
    /// Why it could not be undone.
    pub error: Option<Fault>,
}

/// An event that waits for a state that takes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deferred {
    pub id: String,
    pub event: String,
}

/// Something that is due. What does not belong to its `timer` is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DueTimer {
    /// `Saga` is its timeout, the others are of its state.
    pub timer: TimerKind,
    pub due_at: Timestamp,
    /// The state that is entered.
    pub target: Option<String>,
    /// Whether all is undone first.
    pub compensate: bool,
    /// What must hold then for the transition to be taken.
    #[serde(rename = "if")]
    pub guard: Option<String>,
    /// The event that is raised.
    pub event: Option<String>,
    pub(crate) data: Option<JsonText>,
}

impl DueTimer {
    /// The data of the answer that is given, as JSON.
    pub fn data(&self) -> Option<&str> {
        self.data.as_ref().map(JsonText::as_str)
    }
}

/// Something that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Parked {
    /// The id of the event; of anything else its number.
    pub id: String,
    pub number: u32,
    /// The event, if it is one.
    pub event: Option<String>,
    pub reason: String,
}
