//! Tasks that may be in flight when all else is undone.

use std::collections::{BTreeMap, BTreeSet};

use super::ways::{Trigger, starts, ways};
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::{EventName, StateName};

/// What makes all be undone in a state.
#[derive(Default)]
struct Undoing<'a> {
    events: BTreeSet<&'a EventName>,
    /// A delay does, or a guard that holds as soon as it is entered.
    by_itself: bool,
}

/// Such a task is cancelled; what it had done by then stays, unless it has a compensation of its own. A way that only its own end
/// takes finds it no longer in flight.
pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    let undoing = undoing(definition);
    let is_undone_in_time = definition.timeout.as_ref().is_some_and(|timeout| timeout.compensate);
    for start in starts(definition) {
        let Some(during) = start.during else { continue };
        if !start.action.compensation().is_empty() {
            continue;
        }
        let own = start.action.events();
        let is_undone = undoing
            .get(during)
            .is_some_and(|undoing| undoing.by_itself || undoing.events.iter().any(|event| !own.contains(event)));
        if is_undone || is_undone_in_time {
            let named = start.action.name();
            let message =
                format!("{named} has no compensation, and may be in flight in {during} when all else is undone");
            warnings.add(Fault::new(start.pointer, message));
        }
    }
}

fn undoing(definition: &Definition) -> BTreeMap<&StateName, Undoing<'_>> {
    let mut undoing: BTreeMap<&StateName, Undoing<'_>> = BTreeMap::new();
    for way in ways(definition) {
        if way.candidate.course.compensates() {
            let here = undoing.entry(way.from).or_default();
            match way.trigger {
                Trigger::Event(event) => {
                    here.events.insert(event);
                }
                Trigger::After(_) | Trigger::Always => here.by_itself = true,
            }
        }
    }
    undoing
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::warnings;

    #[test]
    fn a_task_in_flight_where_all_may_be_undone_is_a_warning_without_a_compensation() {
        assert_eq!(
            warnings(
                "states:
  A:
    on:
      x:
        tasks:
          - {name: a, raises: {failure: failed}}
          - {name: b, raises: {failure: other}}
          - {name: c, raises: {failure: other}, compensation: [{name: undo}]}
        target: B
  B: {on: {failed: {compensate: true, target: C}, other: {target: C}}}
  C: {final: failed}
"
            ),
            ["/states/A/on/x/0/tasks/1 b has no compensation, and may be in flight in B when all else is undone"]
        );
    }
}
