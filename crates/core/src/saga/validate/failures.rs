//! Tasks of whose failure nobody hears.

use super::ways::starts;
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    for start in starts(definition) {
        let events = start.action.otherwise();
        if events.failure.is_none() {
            let message = "raises nothing when it fails: the saga needs attention then";
            warnings.add(Fault::new(start.pointer, message));
        }
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
}
