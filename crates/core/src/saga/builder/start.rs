//! Where a definition begins.

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::{Map, Value};

use super::draft::{Draft, seconds};
use super::during::{During, Entered};
use super::term::{Assignments, Place};
use super::typed::{Fields, States};
use crate::saga::definition::{Definition, End, OnCompensationFailure, Unhandled};
use crate::saga::fault::Faults;

/// A definition on its way: a saga that keeps a `C` and goes through the states `S`.
#[derive(Debug)]
#[must_use = "a definition is made by build"]
pub struct SagaBuilder<C, S> {
    draft: Draft,
    types: PhantomData<fn() -> (C, S)>,
}

impl<C: Fields, S: States> SagaBuilder<C, S> {
    /// A definition of this name. It begins in the first of its states.
    pub fn new(name: &str) -> Self {
        let mut draft = Draft {
            context: C::NAMES,
            ..Draft::default()
        };
        draft.fields.insert("name".to_owned(), name.into());
        for state in S::ALL {
            draft.state(state.name());
        }
        if let Some(first) = S::ALL.first() {
            draft.fields.insert("initial".to_owned(), first.name().into());
        }
        Self {
            draft,
            types: PhantomData,
        }
    }

    /// With what the context begins. The input is an `I`: what the saga is started with, or the data of the event that starts it.
    pub fn context<I: Fields, A: Assignments>(&mut self, begin: impl FnOnce(C::Terms, I::Terms) -> A) -> &mut Self {
        let changes = begin(C::terms(&Place::context()), I::terms(&Place::of("input")));
        let mut fields = Map::new();
        self.draft.assigned("/context", &mut fields, changes);
        self.draft.fields.insert("context".to_owned(), fields.into());
        self
    }

    /// How long an instance may live at most, and what happens then.
    pub fn timeout(&mut self, after: Duration) -> Timeout<'_, S> {
        let timeout = Map::from_iter([("after_seconds".to_owned(), seconds(after))]);
        self.draft.fields.insert("timeout".to_owned(), timeout.into());
        Timeout {
            draft: &mut self.draft,
            last: (),
            types: PhantomData,
        }
    }

    /// What becomes of an event that the state does not take.
    pub fn unhandled(&mut self, unhandled: Unhandled) -> &mut Self {
        let word = match unhandled {
            Unhandled::Reject => "reject",
            Unhandled::Ignore => "ignore",
            Unhandled::Defer => "defer",
        };
        self.draft.fields.insert("unhandled".to_owned(), word.into());
        self
    }

    /// What a compensation that fails for good means for those below it.
    pub fn on_compensation_failure(&mut self, policy: OnCompensationFailure) -> &mut Self {
        let word = match policy {
            OnCompensationFailure::Stop => "stop",
            OnCompensationFailure::Continue => "continue",
        };
        self.draft
            .fields
            .insert("on_compensation_failure".to_owned(), word.into());
        self
    }

    /// What happens in the state in which it begins: the first.
    ///
    /// # Panics
    /// If there are no states.
    pub fn initially(&mut self) -> During<'_, C, S> {
        let first = S::ALL.first().expect("a saga has states");
        During::of(&mut self.draft, first.name(), ())
    }

    /// What happens in a state. It may be asked for as often as is good to read.
    #[expect(clippy::needless_pass_by_value, reason = "a state is named, and no borrow of it")]
    pub fn during(&mut self, state: S) -> During<'_, C, S> {
        During::of(&mut self.draft, state.name(), ())
    }

    /// The definition, which is the same as one that was written as YAML.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn build(self) -> Result<Definition, Faults> {
        self.draft.finish()
    }
}

/// What happens when the time of an instance is over.
#[derive(Debug)]
#[must_use = "say where it goes: transition_to"]
pub struct Timeout<'a, S, L = ()> {
    draft: &'a mut Draft,
    last: L,
    types: PhantomData<fn() -> S>,
}

impl<'a, S: States> Timeout<'a, S> {
    fn with(self, name: &str, value: Value) -> Self {
        if let Some(Value::Object(timeout)) = self.draft.fields.get_mut("timeout") {
            timeout.insert(name.to_owned(), value);
        }
        self
    }

    /// What was done is undone first.
    pub fn compensate(self) -> Self {
        self.with("compensate", true.into())
    }

    #[expect(clippy::needless_pass_by_value, reason = "a state is named, and no borrow of it")]
    pub fn transition_to(self, state: S) -> Timeout<'a, S, Entered> {
        let name = state.name();
        let timeout = self.with("target", name.into());
        Timeout {
            draft: timeout.draft,
            last: Entered { state: name },
            types: PhantomData,
        }
    }
}

impl<S: States> Timeout<'_, S, Entered> {
    /// The state ends the saga, which is completed then.
    pub fn finalize(self) {
        self.draft.finalize(self.last.state, End::Completed);
    }

    /// The state ends the saga, which has failed then.
    pub fn finalize_failed(self) {
        self.draft.finalize(self.last.state, End::Failed);
    }
}
