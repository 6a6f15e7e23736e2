//! States that are no end and have no way out.

use std::collections::BTreeSet;

use super::ways::{active, ways};
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::StateName;

/// A timeout of the saga is no way out: a state that waits for nothing else has been forgotten.
pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    let ways = ways(definition);
    let left: BTreeSet<&StateName> = ways
        .iter()
        .filter(|way| way.to() != way.from)
        .map(|way| way.from)
        .collect();
    for (name, _) in active(definition) {
        if !left.contains(name) {
            let message = "cannot be left: no event, no delay and no always leads to another state. If it is an end, say \
                           final: true or final: failed";
            errors.add(Fault::new(format!("/states/{name}"), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn a_state_without_a_way_to_another_is_told() {
        let told = errors(
            "timeout: {after_seconds: 60, target: End}
states:
  A: {on: {x: {target: B}, y: {target: C}, z: {target: D}}}
  B: {}
  C: {on: {x: {target: C}, y: {set: {a: 1}}}, on_entry: [{name: a, raises: {failure: x}}]}
  D: {after: [{seconds: 1, target: End}]}
  End: {final: failed}
",
        );
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("/states/B cannot be left"), "{told:?}");
        assert!(told[1].starts_with("/states/C cannot be left"), "{told:?}");
    }
}
