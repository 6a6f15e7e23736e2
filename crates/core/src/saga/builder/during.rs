//! What happens in a state.

use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::draft::{Draft, Slot, seconds};
use super::task::Action;
use super::term::{Place, Term};
use super::typed::{Event, Fields, States};
use super::when::{Plain, When};
use crate::saga::definition::End;
use crate::saga::fault::Fault;

/// A state of a saga that keeps a `C` and goes through the states `S`. `L` is what was said last.
#[derive(Debug)]
pub struct During<'a, C, S, L = ()> {
    draft: &'a mut Draft,
    state: &'static str,
    last: L,
    types: PhantomData<fn() -> (C, S)>,
}

/// The last that was said is that a state is entered.
#[derive(Debug, Clone, Copy)]
pub struct Entered {
    pub(super) state: &'static str,
}

/// The last that was said is that somebody must answer with an `E`.
#[derive(Debug)]
pub struct Awaiting<E>(PhantomData<fn() -> E>);

impl<'a, C: Fields, S: States, L> During<'a, C, S, L> {
    pub(super) const fn of(draft: &'a mut Draft, state: &'static str, last: L) -> Self {
        Self {
            draft,
            state,
            last,
            types: PhantomData,
        }
    }

    fn then<M>(self, last: M) -> During<'a, C, S, M> {
        During::of(self.draft, self.state, last)
    }

    /// A transition on an event. Of several on one event the first whose guard holds is taken.
    pub fn when<E: Event>(self) -> When<'a, C, S, E, Plain> {
        let candidates = self.draft.state(self.state).on.entry(E::NAME).or_default();
        let index = candidates.len();
        candidates.push(None);
        let slot = Slot::On { event: E::NAME, index };
        When::new(self.draft, self.state, slot, Map::new())
    }

    /// A transition that is taken when the state has lasted so long.
    pub fn after(self, delay: Duration) -> When<'a, C, S, (), Plain> {
        let after = &mut self.draft.state(self.state).after;
        let index = after.len();
        after.push(None);
        let begin = Map::from_iter([("seconds".to_owned(), seconds(delay))]);
        When::new(self.draft, self.state, Slot::After { index }, begin)
    }

    /// A transition that is taken as soon as the state is entered, if its guard holds.
    pub fn always(self) -> When<'a, C, S, (), Plain> {
        let always = &mut self.draft.state(self.state).always;
        let index = always.len();
        always.push(None);
        When::new(self.draft, self.state, Slot::Always { index }, Map::new())
    }

    /// Something that is started whenever the state is entered.
    pub fn on_entry<A: Into<Action>>(self, start: impl FnOnce(C::Terms) -> A) -> During<'a, C, S> {
        let Action(action) = start(C::terms(&Place::context())).into();
        self.draft.state(self.state).on_entry.push(action);
        self.then(())
    }

    /// Something that is started whenever the state is left.
    pub fn on_exit<A: Into<Action>>(self, start: impl FnOnce(C::Terms) -> A) -> During<'a, C, S> {
        let Action(action) = start(C::terms(&Place::context())).into();
        self.draft.state(self.state).on_exit.push(action);
        self.then(())
    }

    /// A person, or a service, must answer. The answer raises the event.
    pub fn await_input<E: Event>(self, prompt: &str) -> During<'a, C, S, Awaiting<E>> {
        let state = self.draft.state(self.state);
        let other = state.await_input.replace(Map::from_iter([
            ("event".to_owned(), E::NAME.into()),
            ("prompt".to_owned(), prompt.into()),
        ]));
        if other.is_some() {
            let pointer = format!("/states/{}/await_input", self.state);
            self.draft.faults.add(Fault::new(pointer, "must be said once"));
        }
        self.then(Awaiting(PhantomData))
    }
}

impl<'a, C: Fields, S: States> During<'a, C, S, Entered> {
    /// The state that was just named ends the saga, which is completed then.
    pub fn finalize(self) -> During<'a, C, S> {
        self.draft.finalize(self.last.state, End::Completed);
        self.then(())
    }

    /// The state that was just named ends the saga, which has failed then.
    pub fn finalize_failed(self) -> During<'a, C, S> {
        self.draft.finalize(self.last.state, End::Failed);
        self.then(())
    }

    /// The same, with the field of the context that says why: whoever has started it as a child is told that.
    pub fn finalize_failed_for<T>(self, reason: impl FnOnce(C::Terms) -> Term<T>) -> During<'a, C, S> {
        let reason = reason(C::terms(&Place::context()));
        self.draft.finalize_failed_for(self.last.state, &reason);
        self.then(())
    }
}

impl<C: Fields, S: States, E: Event> During<'_, C, S, Awaiting<E>> {
    fn with(self, name: &str, value: Value) -> Self {
        if let Some(input) = &mut self.draft.state(self.state).await_input {
            input.insert(name.to_owned(), value);
        }
        self
    }

    /// The JSON Schema of the answer.
    #[expect(clippy::return_self_not_must_use, reason = "it is said by now")]
    pub fn schema(self, schema: Value) -> Self {
        self.with("schema", schema)
    }

    /// An event that is raised if no answer has come by then: its data say what is awaited. Said again, it is raised again.
    #[expect(clippy::return_self_not_must_use, reason = "it is said by now")]
    pub fn remind_after<R: Event>(self, delay: Duration) -> Self {
        if let Some(input) = &mut self.draft.state(self.state).await_input {
            let reminders = input.entry("reminders").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(reminders) = reminders {
                reminders.push(json!({"seconds": seconds(delay), "event": R::NAME}));
            }
        }
        self
    }

    /// The answer if none has come by then.
    ///
    /// # Panics
    /// If the answer cannot be written as JSON.
    #[expect(clippy::return_self_not_must_use, reason = "it is said by now")]
    pub fn default_after(self, delay: Duration, answer: &E) -> Self
    where
        E: Serialize,
    {
        let data = serde_json::to_value(answer).expect("an answer is JSON");
        self.with("default_after", json!({"seconds": seconds(delay), "data": data}))
    }
}
