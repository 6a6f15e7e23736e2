//! How much a definition may be.

use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults};
use crate::saga::source::CANONICAL_MAX_BYTES;

/// The most states: whoever needs more has data in their names.
pub const STATES_MAX: usize = 500;

/// The most regular expressions: to compile one may take a millisecond, and a definition is compiled in every process.
const REGEXES_MAX: usize = 100;

/// Whether it is small enough to look closer.
pub(super) fn check(definition: &Definition, errors: &mut Faults) -> bool {
    let states = definition.states.len();
    if states > STATES_MAX {
        let message = format!("must not have more than {STATES_MAX} states, not {states}");
        errors.add(Fault::new("/states", message));
    }
    let canonical = definition.canonical();
    if canonical.len() > CANONICAL_MAX_BYTES {
        // It is read again by every process that runs it.
        let message = format!(
            "must not take more than {CANONICAL_MAX_BYTES} bytes as JSON, with the quotes and lists that the text leaves out, \
             not {}",
            canonical.len()
        );
        errors.add(Fault::new("", message));
    }
    let regexes = regexes(&canonical);
    if regexes > REGEXES_MAX {
        let message = format!("must not have more than {REGEXES_MAX} calls of matches(), not {regexes}");
        errors.add(Fault::new("", message));
    }
    errors.is_empty()
}

/// Counted in the text, before any of them is compiled.
fn regexes(canonical: &str) -> usize {
    let calls = canonical.split("matches").skip(1);
    calls.filter(|rest| rest.trim_start().starts_with('(')).count()
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn five_hundred_states_are_enough() {
        let states = |count: usize| {
            let last = count - 2;
            let between = (0..last).map(|index| format!("  S{index}: {{on: {{go: {{target: S{}}}}}}}\n", index + 1));
            let between: String = between.collect();
            format!("states:\n  A: {{on: {{start: {{target: S0}}}}}}\n{between}  S{last}: {{final: true}}\n")
        };
        assert_eq!(errors(&states(500)), Vec::<String>::new());
        assert_eq!(
            errors(&states(501)),
            ["/states must not have more than 500 states, not 501"]
        );
    }

    #[test]
    fn regular_expressions_are_counted_before_they_are_compiled() {
        let guards = |count: usize| {
            let calls = vec!["- {if: 'event.name.matches (\"a\")', target: B}"; count].join("\n        ");
            format!("states:\n  A:\n    on:\n      x:\n        {calls}\n  B: {{final: true}}\n")
        };
        assert_eq!(errors(&guards(100)), Vec::<String>::new());
        assert_eq!(
            errors(&guards(101)),
            ["must not have more than 100 calls of matches(), not 101"]
        );
    }
}
