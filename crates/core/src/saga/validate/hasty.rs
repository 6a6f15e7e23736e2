//! Circles in which delays of less than a second lead from state to state.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ways::{Reach, Trigger, Way, ways};
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};

/// Whoever goes round more often than this fills the history more than it waits.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// A guard may end such a circle. Without one it goes on until something comes from outside.
pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    let mut ways = ways(definition);
    ways.retain(|way| way.candidate.guard.is_none() && way.candidate.course.target().is_some() && is_soon(way));
    let circles = Reach::of(&ways).circles();
    let mut told = BTreeSet::new();
    for way in &ways {
        if matches!(way.trigger, Trigger::After(_)) && circles.has(way) && told.insert(way.from) {
            let message = format!(
                "leads back to {} without end, each time in less than a second, and all of it is kept as history",
                way.from
            );
            warnings.add(Fault::new(way.pointer.clone(), message));
        }
    }
}

fn is_soon(way: &Way<'_>) -> bool {
    match way.trigger {
        Trigger::After(delay) => delay.duration() < SHORT,
        Trigger::Always => true,
        Trigger::Event(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::warnings;

    #[test]
    fn a_circle_of_moments_is_a_warning_and_one_that_takes_its_time_or_may_end_is_none() {
        let told = |delay: &str, guard: &str| {
            warnings(&format!(
                "states:
  A: {{after: [{{seconds: {delay}, {guard}target: B}}], on: {{x: {{target: C}}}}}}
  B: {{always: [{{target: A}}]}}
  C: {{final: true}}
"
            ))
        };
        let expected = "/states/A/after/0 leads back to A without end, each time in less than a second, and all of it is kept as \
                        history";
        assert_eq!(told("0.001", ""), [expected]);
        assert_eq!(told("1", ""), Vec::<String>::new());
        assert_eq!(told("0.001", "if: 'input.n < 3', "), Vec::<String>::new());
    }
}
