//! All transitions and all actions of a definition, each with the pointer to it.

use std::collections::btree_map::Entry;
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

/// Which states lead to which, over some of the transitions.
#[derive(Debug)]
pub(super) struct Reach<'a> {
    next: BTreeMap<&'a StateName, BTreeSet<&'a StateName>>,
}

impl<'a> Reach<'a> {
    pub(super) fn of<'w>(ways: impl IntoIterator<Item = &'w Way<'a>>) -> Self
    where
        'a: 'w,
    {
        Self::over(ways.into_iter().map(|way| (way.from, way.to())))
    }

    /// From every state to those that lead to it.
    pub(super) fn back<'w>(ways: impl IntoIterator<Item = &'w Way<'a>>) -> Self
    where
        'a: 'w,
    {
        Self::over(ways.into_iter().map(|way| (way.to(), way.from)))
    }

    fn over(edges: impl Iterator<Item = (&'a StateName, &'a StateName)>) -> Self {
        let mut next: BTreeMap<&StateName, BTreeSet<&StateName>> = BTreeMap::new();
        for (from, to) in edges {
            next.entry(from).or_default().insert(to);
        }
        Self { next }
    }

    /// What can be reached from any of these states, themselves included.
    pub(super) fn from(&self, begins: impl IntoIterator<Item = &'a StateName>) -> BTreeSet<&'a StateName> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&StateName> = begins.into_iter().collect();
        while let Some(state) = open.pop() {
            if reached.insert(state) {
                open.extend(self.after(state));
            }
        }
        reached
    }

    fn after(&self, state: &StateName) -> impl Iterator<Item = &'a StateName> {
        self.next.get(state).into_iter().flatten().copied()
    }

    /// The circles that each state lies on, as a number that is the same for all states that lead to each other (by Kosaraju): one
    /// pass there and one back, whatever the number of states.
    pub(super) fn circles(&self) -> Circles<'a> {
        let back = Self::over(
            self.next
                .iter()
                .flat_map(|(from, all)| all.iter().map(|to| (*to, *from))),
        );
        let mut of = BTreeMap::new();
        for (number, state) in self.by_end().into_iter().rev().enumerate() {
            let mut open = vec![state];
            while let Some(state) = open.pop() {
                if let Entry::Vacant(new) = of.entry(state) {
                    new.insert(number);
                    open.extend(back.after(state));
                }
            }
        }
        Circles(of)
    }

    /// All states, each behind everything that is found first on the way from it.
    fn by_end(&self) -> Vec<&'a StateName> {
        let (mut seen, mut ended) = (BTreeSet::new(), Vec::new());
        for begin in self.next.keys().copied() {
            if !seen.insert(begin) {
                continue;
            }
            let mut open = vec![(begin, self.next.get(begin).into_iter().flatten())];
            while let Some((state, rest)) = open.last_mut() {
                if let Some(next) = rest.next() {
                    if seen.insert(*next) {
                        open.push((*next, self.next.get(*next).into_iter().flatten()));
                    }
                } else {
                    ended.push(*state);
                    open.pop();
                }
            }
        }
        ended
    }
}

/// Which states lead to each other.
#[derive(Debug)]
pub(super) struct Circles<'a>(BTreeMap<&'a StateName, usize>);

impl Circles<'_> {
    /// Whether a transition that was looked at is part of a circle: where it leads, there is a way back.
    pub(super) fn has(&self, way: &Way<'_>) -> bool {
        let (from, to) = (self.0.get(way.from), self.0.get(way.to()));
        from.is_some() && from == to
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Two states lie on one circle if and only if each is reached from the other.
        #[test]
        fn circles_are_those_that_a_search_from_every_state_finds(edges in vec((0..9_usize, 0..9_usize), 0..24)) {
            let names: Vec<StateName> = (0..9).map(|state| format!("S{state}").parse().expect("a name")).collect();
            let reach = Reach::over(edges.iter().map(|(from, to)| (&names[*from], &names[*to])));
            let circles = reach.circles();
            for (from, to) in edges {
                let leads_back = reach.from([&names[to]]).contains(&names[from]);
                prop_assert_eq!(circles.0.get(&names[from]) == circles.0.get(&names[to]), leads_back);
            }
        }
    }
}
