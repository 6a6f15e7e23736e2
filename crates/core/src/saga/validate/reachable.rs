//! States that nothing leads to.

use super::ways::{Reach, ways};
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    let timeout = definition.timeout.iter().map(|timeout| &timeout.target);
    let begins = std::iter::once(&definition.initial).chain(timeout);
    let reached = Reach::of(&ways(definition)).from(begins);
    for name in definition.states.keys() {
        if !reached.contains(name) {
            errors.add(Fault::new(format!("/states/{name}"), "can never be reached"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn states_that_only_lead_to_each_other_are_told() {
        assert_eq!(
            errors(
                "timeout: {after_seconds: 60, target: TimedOut}
states:
  A: {on: {x: {target: B}}, after: [{seconds: 1, target: C}]}
  B: {always: [{target: C}]}
  C: {final: true}
  D: {on: {x: {target: E}}}
  E: {on: {x: {target: D}, y: {target: C}}}
  TimedOut: {final: failed}
"
            ),
            ["/states/D can never be reached", "/states/E can never be reached"]
        );
    }
}
