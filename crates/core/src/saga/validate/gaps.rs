//! What of a text could not be read: rules that ask what is there do not speak of what its author may have written there.

use std::collections::BTreeSet;

use crate::saga::fault::Faults;
use crate::saga::names::{EventName, StateName};
use crate::saga::source::UNREAD_EVENT;

/// Where the faults of form are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::saga) struct Gaps {
    /// The states themselves, or the whole.
    has_all: bool,
    /// States of which something could not be read.
    states: BTreeSet<String>,
    /// Of these, those of which it is unknown what they take.
    takers: BTreeSet<String>,
}

impl Gaps {
    pub(in crate::saga) fn of(faults: &Faults) -> Self {
        let mut gaps = Self::default();
        for fault in &faults.0 {
            let mut steps = fault.pointer.split('/').skip(1);
            match (steps.next(), steps.next()) {
                (None, _) | (Some("states"), None) => gaps.has_all = true,
                (Some("states"), Some(state)) => {
                    gaps.states.insert(state.to_owned());
                    // The state, or one of its fields: `on`, or another that was meant to be it.
                    if steps.count() <= 1 {
                        gaps.takers.insert(state.to_owned());
                    }
                }
                (Some(_), _) => {}
            }
        }
        gaps
    }

    /// Whether all of the state could be read.
    pub(in crate::saga) fn spare(&self, state: &StateName) -> bool {
        !self.has_all && !self.states.contains(state.as_str())
    }

    /// Whether it is known what the state takes.
    pub(super) fn spare_events_of(&self, state: &StateName) -> bool {
        !self.has_all && !self.takers.contains(state.as_str())
    }

    /// Whether its author wrote it: another stands for one that cannot be read.
    pub(super) fn spare_event(&self, event: &EventName) -> bool {
        *self == Self::default() || event.as_str() != UNREAD_EVENT
    }

    /// Whether it is known of all states what they take.
    pub(super) fn spare_events(&self) -> bool {
        !self.has_all && self.takers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::fault::Fault;

    #[test]
    fn a_fault_of_form_says_what_is_unknown() {
        let of = |pointers: &[&str]| {
            let faults = pointers.iter().map(|pointer| Fault::new(*pointer, "is wrong"));
            Gaps::of(&Faults(faults.collect()))
        };
        let [a, b] = ["A", "B"].map(|name| StateName::new(name).expect("a name"));
        let name = of(&["/name", "/timeout/target"]);
        assert!(name.spare(&a) && name.spare_events());
        let target = of(&["/states/A/on/x/target"]);
        assert!(!target.spare(&a) && target.spare(&b) && target.spare_events_of(&a) && target.spare_events());
        for pointer in ["/states/A/onn", "/states/A/on", "/states/A"] {
            let on = of(&[pointer]);
            assert!(
                !on.spare_events_of(&a) && on.spare_events_of(&b) && !on.spare_events(),
                "{pointer}"
            );
        }
        for pointer in ["", "/states"] {
            let all = of(&[pointer]);
            assert!(
                !all.spare(&a) && !all.spare_events_of(&a) && !all.spare_events(),
                "{pointer}"
            );
        }
    }
}
