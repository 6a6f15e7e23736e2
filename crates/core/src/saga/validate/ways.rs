//! All transitions and all actions of a definition, each with the pointer to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::saga::definition::{Action, ActiveState, Candidate, Definition, Delay, State};
use crate::saga::names::{EventName, StateName};

/// What takes a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger<'a> {
    Event(&'a EventName),
    After(Delay),
    Always,
}

/// A transition of a state.
#[derive(Debug, Clone)]
pub(super) struct Way<'a> {
    pub(super) pointer: String,
    pub(super) from: &'a StateName,
    pub(super) trigger: Trigger<'a>,
    pub(super) candidate: &'a Candidate,
}

impl<'a> Way<'a> {
    /// Where the instance stands afterwards.
    pub(super) fn to(&self) -> &'a StateName {
        self.candidate.course.target().unwrap_or(self.from)
    }
}

/// Something that is started.
#[derive(Debug, Clone)]
pub(super) struct Start<'a> {
    pub(super) pointer: String,
    pub(super) action: &'a Action,
    /// Where the instance stands while it runs, at first. `None` for what an exit starts: that depends.
    pub(super) during: Option<&'a StateName>,
}

/// The states that are no end.
pub(super) fn active(definition: &Definition) -> impl Iterator<Item = (&StateName, &ActiveState)> {
    definition.states.iter().filter_map(|(name, state)| match state {
        State::Final { .. } => None,
        State::Active(active) => Some((name, &**active)),
    })
}

/// Every transition.
pub(super) fn ways(definition: &Definition) -> Vec<Way<'_>> {
    let mut ways = Vec::new();
    for (from, state) in active(definition) {
        let pointer = format!("/states/{from}");
        for (event, candidates) in &state.on {
            for (index, candidate) in candidates.as_slice().iter().enumerate() {
                ways.push(Way {
                    pointer: format!("{pointer}/on/{event}/{index}"),
                    from,
                    trigger: Trigger::Event(event),
                    candidate,
                });
            }
        }
        for (index, delayed) in state.after.iter().enumerate() {
            ways.push(Way {
                pointer: format!("{pointer}/after/{index}"),
                from,
                trigger: Trigger::After(delayed.delay),
                candidate: &delayed.candidate,
            });
        }
        for (index, candidate) in state.always.iter().enumerate() {
            ways.push(Way {
                pointer: format!("{pointer}/always/{index}"),
                from,
                trigger: Trigger::Always,
                candidate,
            });
        }
    }
    ways
}

/// Everything that is started.
pub(super) fn starts(definition: &Definition) -> Vec<Start<'_>> {
    let mut starts = Vec::new();
    for way in ways(definition) {
        let during = Some(way.to());
        for (index, action) in way.candidate.course.tasks().iter().enumerate() {
            starts.push(Start {
                pointer: format!("{}/tasks/{index}", way.pointer),
                action,
                during,
            });
        }
    }
    for (name, state) in active(definition) {
        for (list, actions, during) in [
            ("on_entry", &state.on_entry, Some(name)),
            ("on_exit", &state.on_exit, None),
        ] {
            for (index, action) in actions.iter().enumerate() {
                starts.push(Start {
                    pointer: format!("/states/{name}/{list}/{index}"),
                    action,
                    during,
                });
            }
        }
    }
    starts
}

/// The states that can be reached from each state over any transitions, itself included.
#[derive(Debug)]
pub(super) struct Reach<'a> {
    next: BTreeMap<&'a StateName, BTreeSet<&'a StateName>>,
}

impl<'a> Reach<'a> {
    pub(super) fn of(ways: &[Way<'a>]) -> Self {
        let mut next: BTreeMap<&StateName, BTreeSet<&StateName>> = BTreeMap::new();
        for way in ways {
            next.entry(way.from).or_default().insert(way.to());
        }
        Self { next }
    }

    /// What can be reached from each state that can be left.
    pub(super) fn all(&self) -> BTreeMap<&'a StateName, BTreeSet<&'a StateName>> {
        let states = self.next.keys();
        states.map(|state| (*state, self.from([*state]))).collect()
    }

    pub(super) fn from(&self, begins: impl IntoIterator<Item = &'a StateName>) -> BTreeSet<&'a StateName> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&StateName> = begins.into_iter().collect();
        while let Some(state) = open.pop() {
            if reached.insert(state) {
                open.extend(self.next.get(state).into_iter().flatten().copied());
            }
        }
        reached
    }
}
