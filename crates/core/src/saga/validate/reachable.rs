//! States that nothing leads to.

use super::ways::{Reach, ways};
use crate::saga::definition::{Definition, State};
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    if leads_nowhere(definition) {
        // A target that is misspelt would be told again as a state that nothing leads to.
        return;
    }
    let timeout = definition.timeout.iter().map(|timeout| &timeout.target);
    let begins = std::iter::once(&definition.initial).chain(timeout);
    let reached = Reach::of(&ways(definition)).from(begins);
    for name in definition.states.keys() {
        if !reached.contains(name) {
            errors.add(Fault::new(format!("/states/{name}"), "can never be reached"));
        }
    }
}

/// Whether it begins in no state that goes on, or some name of a state is of none.
fn leads_nowhere(definition: &Definition) -> bool {
    let begins = matches!(definition.states.get(&definition.initial), Some(State::Active(_)));
    let timeout = definition.timeout.iter().map(|timeout| &timeout.target);
    let ways = ways(definition);
    let targets = ways.iter().filter_map(|way| way.candidate.course.target());
    !begins
        || timeout
            .chain(targets)
            .any(|target| !definition.states.contains_key(target))
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
