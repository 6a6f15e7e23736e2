//! Compensations that nothing ever runs.

use super::ways::{Reach, starts, ways};
use crate::saga::definition::{Definition, State};
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::StateName;

/// What is registered on the way into an end is lost. What is registered where no way to `compensate` comes is run by a cancel
/// alone, which may be meant.
pub(super) fn check(definition: &Definition, errors: &mut Faults, warnings: &mut Faults) {
    let ways = ways(definition);
    let compensating = ways.iter().filter(|way| way.candidate.course.compensates());
    let undone = Reach::back(&ways).from(compensating.map(|way| way.from));
    let is_undone_in_time = definition.timeout.as_ref().is_some_and(|timeout| timeout.compensate);
    let mut registered = |pointer: String, then: &StateName| {
        if is_final(definition, then) {
            let message = "is never run: the transition that registers it ends the saga";
            errors.add(Fault::new(pointer, message));
        } else if !is_undone_in_time && !undone.contains(then) {
            let message = "is run only if the saga is cancelled: no transition with compensate comes after it";
            warnings.add(Fault::new(pointer, message));
        }
    };
    for way in &ways {
        if !way.candidate.compensation.is_empty() && !way.candidate.course.compensates() {
            registered(format!("{}/compensation", way.pointer), way.to());
        }
    }
    for start in starts(definition) {
        if let Some(during) = start.during
            && !start.action.compensation().is_empty()
        {
            registered(format!("{}/compensation", start.pointer), during);
        }
    }
}

fn is_final(definition: &Definition, name: &StateName) -> bool {
    match definition.states.get(name) {
        Some(State::Final { .. }) => true,
        Some(State::Active(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::{errors, warnings};

    #[test]
    fn what_is_registered_on_the_way_into_an_end_is_refused() {
        assert_eq!(
            errors(
                "states:
  A:
    on:
      x: {compensation: [{name: undo}], target: B}
      z: {compensation: [{name: undo}], compensate: true, target: B}
  B: {final: true}
"
            ),
            ["/states/A/on/x/0/compensation is never run: the transition that registers it ends the saga",]
        );
    }

    #[test]
    fn what_only_a_cancel_runs_is_a_warning_and_what_a_timeout_runs_is_none() {
        let states = "states:
  A: {on: {x: {compensation: [{name: undo}], target: B}, y: {compensate: true, target: C}}}
  B: {on: {x: {target: C}}}
  C: {final: true}
";
        assert_eq!(
            warnings(states),
            [
                "/states/A/on/x/0/compensation is run only if the saga is cancelled: no transition with compensate comes after it"
            ]
        );
        let timeout = format!("timeout: {{after_seconds: 60, target: C, compensate: true}}\n{states}");
        assert_eq!(warnings(&timeout), Vec::<String>::new());
    }
}
