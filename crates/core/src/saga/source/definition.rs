//! The outermost object of a definition.

use std::collections::BTreeMap;

use super::reader::{At, Object, Reader};
use crate::saga::definition::{Definition, Delay, OnCompensationFailure, State, Timeout, Unhandled};
use crate::saga::fault::Fault;
use crate::saga::names::{DefinitionName, StateName};

const FIELDS: [&str; 7] = [
    "name",
    "context",
    "initial",
    "timeout",
    "unhandled",
    "on_compensation_failure",
    "states",
];

const TIMEOUT_FIELDS: [&str; 3] = ["after_seconds", "target", "compensate"];

/// What stands for a name that cannot be read: the fault is told, and the rest is looked at all the same.
pub(super) fn unnamed() -> DefinitionName {
    DefinitionName::new("unnamed").expect("a name")
}

/// What stands for a timeout that cannot be read: nothing comes after it.
fn late() -> Delay {
    Delay::of_seconds(Delay::MAX.as_secs_f64()).expect("a delay")
}

impl Reader {
    /// `None` if there is no state to speak of.
    pub(super) fn definition(&mut self, at: &At<'_>) -> Option<Definition> {
        let object = self.object(at, "a definition", &FIELDS)?;
        let name = self.required(&object, "name").and_then(|at| self.name(&at));
        let context = self.fields(object.field("context"));
        let timeout = object.field("timeout").and_then(|at| self.timeout(&at));
        let unhandled = [
            ("reject", Unhandled::Reject),
            ("ignore", Unhandled::Ignore),
            ("defer", Unhandled::Defer),
        ];
        let unhandled = self.word(object.field("unhandled"), &unhandled);
        let on_compensation_failure = [
            ("stop", OnCompensationFailure::Stop),
            ("continue", OnCompensationFailure::Continue),
        ];
        let on_compensation_failure = self.word(object.field("on_compensation_failure"), &on_compensation_failure);
        let states = self.states(&object);
        let initial = self.required(&object, "initial");
        let initial: Option<StateName> = initial.and_then(|at| self.name(&at));
        // One that cannot be read stands for no end.
        let active = states.iter().find(|(_, state)| matches!(state, State::Active(_)));
        let first = active.map(|(name, _)| name).or(states.keys().next())?.clone();
        Some(Definition {
            name: name.unwrap_or_else(unnamed),
            context,
            initial: initial.unwrap_or(first),
            timeout,
            unhandled,
            on_compensation_failure,
            states,
        })
    }

    fn states(&mut self, object: &Object<'_>) -> BTreeMap<StateName, State> {
        let states = self.required(object, "states");
        let Some(at) = states else { return BTreeMap::new() };
        let before = self.faults.0.len();
        let states = self.named(Some(at.clone()), |reader, at| Some(reader.state(at)));
        if states.is_empty() && self.faults.0.len() == before {
            self.faults
                .add(Fault::new(at.pointer, "must have at least one state").at(at.node.place));
        }
        states
    }

    fn timeout(&mut self, at: &At<'_>) -> Option<Timeout> {
        let object = self.object(at, "a timeout", &TIMEOUT_FIELDS)?;
        let after = self.required(&object, "after_seconds").and_then(|at| self.delay(&at));
        let target = self.required(&object, "target").and_then(|at| self.name(&at));
        let compensate = self.truth(object.field("compensate"));
        Some(Timeout {
            after: after.unwrap_or_else(late),
            target: target?,
            compensate,
        })
    }
}
