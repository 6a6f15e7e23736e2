//! Transitions that are taken at once, in a circle.

use std::collections::BTreeSet;

use super::ways::{Reach, Trigger, ways};
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};

/// A circle without guards never ends. One with a guard may: it is stopped after so many rounds, which is worth a warning.
pub(super) fn check(definition: &Definition, errors: &mut Faults, warnings: &mut Faults) {
    let mut ways = ways(definition);
    ways.retain(|way| way.trigger == Trigger::Always);
    for way in &ways {
        if way.candidate.course.target().is_none() {
            let message = "must lead to a state: taken where it is, it would be taken again and again";
            errors.add(Fault::new(way.pointer.clone(), message));
        }
    }
    ways.retain(|way| way.candidate.course.target().is_some());
    let unguarded = ways.iter().filter(|way| way.candidate.guard.is_none());
    let (certain, all) = (Reach::of(unguarded).circles(), Reach::of(&ways).circles());
    let mut told = BTreeSet::new();
    for way in &ways {
        let is_certain = way.candidate.guard.is_none();
        if is_certain && certain.has(way) {
            errors.add(Fault::new(
                way.pointer.clone(),
                format!("leads back to {} without end", way.from),
            ));
        } else if all.has(way) && told.insert(way.from) {
            let message = format!(
                "may lead back to {}: after 100 such transitions in a row the saga needs attention",
                way.from
            );
            warnings.add(Fault::new(way.pointer.clone(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::{errors, warnings};

    #[test]
    fn a_circle_without_guards_is_refused() {
        assert_eq!(
            errors(
                "states:
  A: {always: [{if: 'input.x', target: C}, {target: B}]}
  B: {always: [{target: A}]}
  C: {final: true}
"
            ),
            [
                "/states/A/always/1 leads back to A without end",
                "/states/B/always/0 leads back to B without end",
            ]
        );
    }

    #[test]
    fn a_circle_with_a_guard_is_a_warning() {
        let told = warnings(
            "states:
  A: {always: [{if: 'context.x > 0', set: {x: '${ context.x - 1 }'}, target: A}, {target: C}]}
  C: {final: true}
",
        );
        assert_eq!(
            told,
            ["/states/A/always/0 may lead back to A: after 100 such transitions in a row the saga needs attention"]
        );
    }

    #[test]
    fn one_that_leads_nowhere_is_refused() {
        assert_eq!(
            errors("states:\n  A: {always: [{if: input.x, set: {x: 1}}], on: {x: {target: B}}}\n  B: {final: true}\n"),
            ["/states/A/always/0 must lead to a state: taken where it is, it would be taken again and again"]
        );
    }
}
