//! Tasks that may be in flight when all else is undone.

use super::ways::{Trigger, starts, ways};
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};

/// Such a task is cancelled; what it had done by then stays, unless it has a compensation of its own. A way that only its own end
/// takes finds it no longer in flight.
pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    let ways = ways(definition);
    let is_undone_in_time = definition.timeout.as_ref().is_some_and(|timeout| timeout.compensate);
    for start in starts(definition) {
        let Some(during) = start.during else { continue };
        if !start.action.compensation().is_empty() {
            continue;
        }
        let own = start.action.events();
        let is_undone = ways.iter().any(|way| {
            let by_another = match way.trigger {
                Trigger::Event(event) => !own.contains(&event),
                Trigger::After(_) | Trigger::Always => true,
            };
            way.from == during && way.candidate.course.compensates() && by_another
        });
        if is_undone || is_undone_in_time {
            let named = start.action.name();
            let message =
                format!("{named} has no compensation, and may be in flight in {during} when all else is undone");
            warnings.add(Fault::new(start.pointer, message));
        }
    }
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
