//! Definitions that start themselves more than once: their sagas multiply.

use std::collections::BTreeSet;

use super::ways::{Reach, Start, Way, starts, ways};
use crate::saga::definition::{Action, CHILD_DEPTH_MAX, Definition};
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::StateName;

/// Whoever starts itself more often than this is told of the first.
const LOOKED_AT: usize = 100;

/// One that starts itself once is a chain, which ends. Of one that does so twice on one way there are twice as many with each depth.
pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    let starts = starts(definition).into_iter();
    let own = starts.filter(|start| matches!(start.action, Action::Saga(child) if child.saga == definition.name));
    let own: Vec<Start<'_>> = own.take(LOOKED_AT).collect();
    if own.is_empty() {
        return;
    }
    let ways = ways(definition);
    let reach = Reach::of(&ways);
    let more = own.iter().find(|start| {
        let later = later(start, &ways, &reach);
        own.iter().any(|other| follows(start, other, &ways, &later))
    });
    if let Some(start) = more {
        let message = format!(
            "{} starts itself more than once on one way: its sagas multiply, until {CHILD_DEPTH_MAX} are above the last of them",
            definition.name
        );
        warnings.add(Fault::new(start.pointer.clone(), message));
    }
}

/// The list that it stands in.
fn list<'s>(start: &'s Start<'_>) -> &'s str {
    start.pointer.rsplit_once('/').map_or("", |(list, _)| list)
}

/// The state that it stands in.
fn origin<'s>(start: &'s Start<'_>) -> &'s str {
    start.pointer.split('/').nth(2).unwrap_or_default()
}

/// Where the instance may stand when it has started this.
fn later<'a>(start: &Start<'a>, ways: &[Way<'a>], reach: &Reach<'a>) -> BTreeSet<&'a StateName> {
    match start.during {
        Some(during) => reach.from([during]),
        None => reach.from(
            ways.iter()
                .filter(|way| way.from.as_str() == origin(start))
                .map(Way::to),
        ),
    }
}

/// Whether one way leads from this to the other, or to the same once more.
fn follows(start: &Start<'_>, other: &Start<'_>, ways: &[Way<'_>], later: &BTreeSet<&StateName>) -> bool {
    if list(start) == list(other) && start.pointer != other.pointer {
        return true;
    }
    if !list(other).ends_with("/on_entry") {
        return later.iter().any(|state| state.as_str() == origin(other));
    }
    let is_entered_by_it = list(start) != list(other)
        && !list(start).ends_with("/on_entry")
        && start.during.is_some_and(|during| during.as_str() == origin(other));
    let is_entered = |way: &Way<'_>| {
        let target = way.candidate.course.target();
        later.contains(way.from) && target.is_some_and(|target| target.as_str() == origin(other))
    };
    is_entered_by_it || ways.iter().any(is_entered)
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::warnings;

    const CHILD: &str = "{saga: test, raises: {failure: x}}";

    fn told(states: &str) -> Vec<String> {
        warnings(&format!("states:\n{}", states.replace("CHILD", CHILD)))
    }

    fn expected(pointer: &str) -> Vec<String> {
        let told =
            "test starts itself more than once on one way: its sagas multiply, until 16 are above the last of them";
        vec![format!("{pointer} {told}")]
    }

    #[test]
    fn one_that_starts_itself_twice_on_one_way_is_a_warning() {
        let twice = told(
            "  A: {on: {x: {tasks: [CHILD, CHILD], target: B}}}\n  B: {on: {x: {target: C}}}\n  C: {final: true}\n",
        );
        assert_eq!(twice, expected("/states/A/on/x/0/tasks/0"));
        let entered = told(
            "  A: {on: {x: {tasks: [CHILD], target: B}}}\n  B: {on_entry: [CHILD], on: {x: {target: C}}}\n  C: {final: true}\n",
        );
        assert_eq!(entered, expected("/states/A/on/x/0/tasks/0"));
        let round = told(
            "  A: {on_entry: [CHILD], on: {x: {target: B}}}\n  B: {on: {x: {target: A}, y: {target: C}}}\n  C: {final: true}\n",
        );
        assert_eq!(round, expected("/states/A/on_entry/0"));
    }

    #[test]
    fn one_that_starts_itself_once_whichever_way_it_goes_is_none() {
        let alternatives = "  A: {on: {x: {tasks: [CHILD], target: B}, y: {tasks: [CHILD], target: B}}}
  B: {on: {x: {target: C}}}
  C: {final: true}
";
        assert_eq!(told(alternatives), Vec::<String>::new());
        let others =
            "  A: {on_entry: [{saga: a, raises: {failure: x}}, {saga: a, raises: {failure: x}}], on: {x: {target: C}}}
  C: {final: true}
";
        assert_eq!(told(others), Vec::<String>::new());
    }
}
