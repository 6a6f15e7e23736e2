//! Tasks that are started where the saga ends.

use std::collections::BTreeSet;

use super::ways::{active, ways};
use crate::saga::definition::{Course, Definition, State};
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::StateName;

/// A saga that is over has no live tasks, so they would be cancelled before they did anything.
const MESSAGE: &str = "would be cancelled at once, since the saga ends here: wait for it in a state of its own";

pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    let ways = ways(definition);
    let ends = |target: Option<&StateName>| {
        target.is_some_and(|name| matches!(definition.states.get(name), Some(State::Final { .. })))
    };
    let mut end_forward = BTreeSet::new();
    for way in &ways {
        if let Course::Forward { target, .. } = &way.candidate.course
            && ends(target.as_ref())
        {
            end_forward.insert(way.from);
        }
        let tasks = way.candidate.course.tasks();
        if ends(way.candidate.course.target()) {
            for index in 0..tasks.len() {
                errors.add(Fault::new(format!("{}/tasks/{index}", way.pointer), MESSAGE));
            }
        }
    }
    for (name, state) in active(definition) {
        if end_forward.contains(name) {
            for index in 0..state.on_exit.len() {
                errors.add(Fault::new(format!("/states/{name}/on_exit/{index}"), MESSAGE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn tasks_on_the_way_into_an_end_are_refused() {
        let told = errors(
            "states:
  A:
    on:
      x: {tasks: [{name: a, raises: {failure: x}}], target: B}
      y: {target: C}
    on_exit: [{name: b, raises: {failure: x}}]
  B: {on_exit: [{name: c, raises: {failure: x}}], on: {x: {compensate: true, target: C}}}
  C: {final: true}
",
        );
        assert_eq!(
            told,
            [
                "/states/A/on_exit/0 would be cancelled at once, since the saga ends here: wait for it in a state of its own"
            ]
        );
        let told = errors(
            "states:
  A: {on: {x: {tasks: [{name: a, raises: {failure: x}}], target: B}}}
  B: {final: true}
",
        );
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("/states/A/on/x/0/tasks/0 would be cancelled"),
            "{told:?}"
        );
    }
}
