//! Tasks of whose failure nobody hears, or under a name by which it is never told.

use super::ways::{Start, starts};
use crate::saga::definition::{Action, Definition, Reach};
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    for start in starts(definition) {
        let events = start.action.otherwise();
        if events.failure.is_none() {
            let message = "raises nothing when it fails: the saga needs attention then";
            warnings.add(Fault::new(start.pointer.clone(), message));
        }
        never_raised(&start, warnings);
    }
}

/// Of many tasks some may have failed and others have been cancelled: one event tells of all.
fn never_raised(start: &Start<'_>, warnings: &mut Faults) {
    let Action::Task(task) = start.action else { return };
    let Reach::ForEach { raises, .. } = &task.reach else {
        return;
    };
    for (end, event) in [("cancelled", &raises.cancelled), ("expired", &raises.expired)] {
        let Some(event) = event else { continue };
        let message = format!(
            "raises {event} for none of many tasks: the event of join, or failure, tells of those that are {end}"
        );
        warnings.add(Fault::new(format!("{}/raises/{end}", start.pointer), message));
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::warnings;

    #[test]
    fn a_task_without_an_event_for_its_failure_is_a_warning() {
        assert_eq!(
            warnings(
                "states:
  A:
    on:
      x: {tasks: [{name: a, raises: {success: x, expired: x}}, {name: b, raises: {failure: x}}], target: B}
    on_entry: [{saga: c}]
  B: {on: {x: {target: C}}}
  C: {final: true}
"
            ),
            [
                "/states/A/on/x/0/tasks/0 raises nothing when it fails: the saga needs attention then",
                "/states/A/on_entry/0 raises nothing when it fails: the saga needs attention then",
            ]
        );
    }

    #[test]
    fn what_one_of_many_tasks_never_raises_is_a_warning() {
        let many = |raises: &str| {
            warnings(&format!(
                "states:
  A:
    on_entry: [{{name: a, for_each: '${{ input.list }}', join: {{raises: x}}, raises: {{failure: y{raises}}}}}]
    on: {{x: {{target: C}}, y: {{target: C}}, z: {{target: C}}}}
  C: {{final: true}}
"
            ))
        };
        assert_eq!(many(""), Vec::<String>::new());
        assert_eq!(
            many(", cancelled: z, expired: y"),
            [
                "/states/A/on_entry/0/raises/cancelled raises z for none of many tasks: the event of join, or failure, tells of those that are cancelled",
                "/states/A/on_entry/0/raises/expired raises y for none of many tasks: the event of join, or failure, tells of those that are expired",
            ]
        );
    }
}
