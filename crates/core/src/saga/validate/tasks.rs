//! Tasks and compensations, by the rules for follow-ups.

use super::variables::Variables;
use super::ways::{starts, ways};
use crate::expression::Variable;
use crate::saga::definition::{Action, Definition, Reach, TaskBody};
use crate::saga::fault::Faults;
use crate::task::{SpecLimits, check_entry};
use crate::time::Timestamp;

pub(super) fn check(
    definition: &Definition,
    variables: &Variables<'_>,
    limits: &SpecLimits,
    now: Timestamp,
    errors: &mut Faults,
) {
    let mut body = |pointer: &str, body: &TaskBody, variables: &[Variable<'_>]| {
        if let Err(broken) = check_entry(&body.json(), variables, pointer, limits, now) {
            errors.extend_below("", broken);
        }
    };
    for way in ways(definition) {
        for (index, undo) in way.candidate.compensation.iter().enumerate() {
            body(&format!("{}/compensation/{index}", way.pointer), undo, &variables.all);
        }
    }
    for start in starts(definition) {
        let mut seen: &[Variable<'_>] = &variables.all;
        match start.action {
            Action::Task(task) => {
                match task.reach {
                    Reach::Once { .. } => {}
                    Reach::ForEach { .. } => seen = &variables.with_item,
                }
                body(&start.pointer, &task.body, seen);
            }
            Action::Saga(_) => {}
        }
        for (index, undo) in start.action.compensation().iter().enumerate() {
            body(&format!("{}/compensation/{index}", start.pointer), undo, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn tasks_and_compensations_meet_the_rules_of_a_create() {
        let told = errors(
            "states:
  A:
    on:
      x:
        compensation: [{name: a b}]
        tasks:
          - {name: python, input: {code: 5}}
          - {name: pay, priority: 10, input: '${ item }', compensation: [{name: refund, ttl_seconds: 0}]}
          - {name: each, input: '${ item }', for_each: '${ input.x }', join: {raises: x}}
        target: B
  B: {on: {x: {target: C}}}
  C: {final: true}
",
        );
        assert_eq!(
            told,
            [
                "/states/A/on/x/0/compensation/0/name must match [A-Za-z0-9._-]{1,100}",
                "/states/A/on/x/0/tasks/0/input/code must be a text, not a number",
                "/states/A/on/x/0/tasks/1/input at character 4: there is no variable item; there are context, input, event, saga",
                "/states/A/on/x/0/tasks/1/priority must be a whole number from 0 to 9, not 10",
                "/states/A/on/x/0/tasks/1/compensation/0/ttl_seconds must lie between 0.001 and 3155760000 seconds, not 0",
            ]
        );
    }
}
