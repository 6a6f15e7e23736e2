//! Transitions behind one that is always taken.

use super::ways::active;
use crate::saga::definition::{Candidate, Definition};
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    for (name, state) in active(definition) {
        for (event, candidates) in &state.on {
            list(&format!("/states/{name}/on/{event}"), candidates.as_slice(), errors);
        }
        list(&format!("/states/{name}/always"), &state.always, errors);
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
    always: [{target: B}, {target: B}]
  B: {final: true}
"
            ),
            [
                "/states/A/on/x/2 is never taken: number 2 before it has no guard",
                "/states/A/always/1 is never taken: number 1 before it has no guard",
            ]
        );
    }
}
