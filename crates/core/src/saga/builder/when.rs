//! A transition, from what takes it to where it goes.

use std::marker::PhantomData;

use serde_json::{Map, Value};

use super::draft::{Draft, Slot};
use super::during::{During, Entered};
use super::task::{Action, Task};
use super::term::{Assignments, Place, Term};
use super::typed::{Fields, States};

/// A transition on an `E`. Its closures see the terms of the context and those of the event. `P` is [`Plain`] until it starts
/// something, then [`Acting`].
#[derive(Debug)]
#[must_use = "a transition says where it goes: transition_to, stay or compensate"]
pub struct When<'a, C, S, E, P = Plain> {
    draft: &'a mut Draft,
    state: &'static str,
    slot: Slot,
    fields: Map<String, Value>,
    types: PhantomData<Types<C, S, E, P>>,
}

type Types<C, S, E, P> = fn() -> (C, S, E, P);

/// Nothing is started yet.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

/// Something is started, so it cannot be one that undoes everything.
#[derive(Debug, Clone, Copy)]
pub struct Acting;

impl<'a, C: Fields, S: States, E: Fields, P> When<'a, C, S, E, P> {
    pub(super) const fn new(draft: &'a mut Draft, state: &'static str, slot: Slot, fields: Map<String, Value>) -> Self {
        Self {
            draft,
            state,
            slot,
            fields,
            types: PhantomData,
        }
    }

    fn terms() -> (C::Terms, E::Terms) {
        (C::terms(&Place::context()), E::terms(&Place::of("event.data")))
    }

    fn pointer(&self) -> String {
        match self.slot {
            Slot::On { event, index } => format!("/states/{}/on/{event}/{index}", self.state),
            Slot::After { index } => format!("/states/{}/after/{index}", self.state),
            Slot::Always { index } => format!("/states/{}/always/{index}", self.state),
        }
    }

    fn push(&mut self, list: &str, value: Value) {
        let list = self.fields.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(entries) = list {
            entries.push(value);
        }
    }

    /// What must hold. Said twice, both must.
    pub fn only_if(mut self, guard: impl FnOnce(C::Terms, E::Terms) -> Term<bool>) -> Self {
        let (context, event) = Self::terms();
        let guard = guard(context, event).guard();
        let guard = match self.fields.remove("if") {
            Some(Value::String(other)) => format!("({other}) && ({guard})"),
            Some(_) | None => guard,
        };
        self.fields.insert("if".to_owned(), guard.into());
        self
    }

    /// What becomes of the context. None of the changes sees another.
    pub fn set<A: Assignments>(mut self, change: impl FnOnce(C::Terms, E::Terms) -> A) -> Self {
        let (context, event) = Self::terms();
        let changes = change(context, event);
        let pointer = format!("{}/set", self.pointer());
        let mut set = match self.fields.remove("set") {
            Some(Value::Object(set)) => set,
            Some(_) | None => Map::new(),
        };
        self.draft.assigned(&pointer, &mut set, changes);
        self.fields.insert("set".to_owned(), set.into());
        self
    }

    /// What undoes what has been done by now. It is registered with the transition, and sees what that has set.
    pub fn compensate_with<O>(mut self, undo: impl FnOnce(C::Terms, E::Terms) -> Task<O>) -> Self {
        let (context, event) = Self::terms();
        let undo = undo(context, event).body();
        self.push("compensation", undo);
        self
    }

    /// What is started. Said again, it is started beside.
    pub fn then<A: Into<Action>>(mut self, start: impl FnOnce(C::Terms, E::Terms) -> A) -> When<'a, C, S, E, Acting> {
        let (context, event) = Self::terms();
        let Action(action) = start(context, event).into();
        self.push("tasks", action);
        When::new(self.draft, self.state, self.slot, self.fields)
    }

    /// The state is left, and this one entered; the same one is entered again.
    #[expect(clippy::needless_pass_by_value, reason = "a state is named, and no borrow of it")]
    pub fn transition_to(mut self, state: S) -> During<'a, C, S, Entered> {
        let state = state.name();
        self.fields.insert("target".to_owned(), state.into());
        self.end(Entered { state })
    }

    /// The state is not left, and its timers go on.
    pub fn stay(self) -> During<'a, C, S> {
        self.end(())
    }

    fn end<L>(self, last: L) -> During<'a, C, S, L> {
        let state = self.draft.state(self.state);
        let slot = match self.slot {
            Slot::On { event, index } => state.on.get_mut(event).and_then(|candidates| candidates.get_mut(index)),
            Slot::After { index } => state.after.get_mut(index),
            Slot::Always { index } => state.always.get_mut(index),
        };
        if let Some(slot) = slot {
            *slot = Some(Value::Object(self.fields));
        }
        During::of(self.draft, self.state, last)
    }
}

impl<'a, C: Fields, S: States, E: Fields> When<'a, C, S, E, Plain> {
    /// All that was done is undone, the newest first, before the next state is entered.
    pub fn compensate(mut self) -> Compensating<'a, C, S, E> {
        self.fields.insert("compensate".to_owned(), true.into());
        Compensating(self)
    }
}

/// A transition that undoes everything first: nothing new is started by it.
#[derive(Debug)]
#[must_use = "a transition that compensates says where it goes then: transition_to"]
pub struct Compensating<'a, C, S, E>(When<'a, C, S, E, Plain>);

impl<'a, C: Fields, S: States, E: Fields> Compensating<'a, C, S, E> {
    /// What is entered when all is undone.
    pub fn transition_to(self, state: S) -> During<'a, C, S, Entered> {
        self.0.transition_to(state)
    }
}
