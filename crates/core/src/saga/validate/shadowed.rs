//! Transitions behind one that is always taken, and what a state waits for that is left at once.

use super::ways::active;
use crate::saga::definition::{Candidate, Definition};
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    for (name, state) in active(definition) {
        for (event, candidates) in &state.on {
            list(&format!("/states/{name}/on/{event}"), candidates.as_slice(), errors);
        }
        list(&format!("/states/{name}/always"), &state.always, errors);
        let is_left_at_once = state.always.iter().any(|candidate| candidate.guard.is_none());
        let waits = [
            ("on", !state.on.is_empty()),
            ("after", !state.after.is_empty()),
            ("await_input", state.await_input.is_some()),
        ];
        for (field, is_there) in waits {
            if is_left_at_once && is_there {
                let message =
                    "never matters: one of always has no guard, so the state is left as soon as it is entered";
                errors.add(Fault::new(format!("/states/{name}/{field}"), message));
            }
        }
    }
}

fn list(pointer: &str, candidates: &[Candidate], errors: &mut Faults) {
    let taken = candidates.iter().position(|candidate| candidate.guard.is_none());
    let Some(taken) = taken else { return };
    for index in taken + 1..candidates.len() {
        let message = format!("is never taken: number {} before it has no guard", taken + 1);
        errors.add(Fault::new(format!("{pointer}/{index}"), message));
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn what_stands_behind_a_transition_without_a_guard_is_told() {
        assert_eq!(
            errors(
                "states:
  A:
    on:
      x: [{if: 'event.data.ok', target: B}, {target: B}, {if: 'true == true', target: B}]
      y: [{if: 'event.data.ok', target: B}]
    after: [{seconds: 5, target: B}]
    always: [{target: B}, {target: B}]
  B: {final: true}
"
            ),
            [
                "/states/A/on/x/2 is never taken: number 2 before it has no guard",
                "/states/A/always/1 is never taken: number 1 before it has no guard",
                "/states/A/on never matters: one of always has no guard, so the state is left as soon as it is entered",
                "/states/A/after never matters: one of always has no guard, so the state is left as soon as it is entered",
            ]
        );
    }
}
