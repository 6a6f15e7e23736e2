//! What a definition must meet beside its form, one rule a file.
//!
//! Pointers go into the canonical form. Rules about one part alone hold whatever the rest is; rules about the whole are asked
//! of a definition without holes, since a hole would make them speak of what nobody wrote.

mod always;
mod compensations;
mod endings;
mod exits;
mod expressions;
mod failures;
mod hasty;
mod leaks;
mod names;
mod reachable;
mod schemas;
mod shadowed;
mod size;
mod tasks;
mod timers;
mod variables;
mod ways;

pub use schemas::{SCHEMA_MAX_BYTES, SCHEMA_PARTS_MAX, schema_parts};
pub use size::STATES_MAX;
pub use variables::context_fields;
pub(super) use variables::{CONTEXT_VARIABLES, ITEM_VARIABLES, PROMPT_VARIABLES, VARIABLES};

use self::variables::Variables;
use super::definition::Definition;
use super::fault::Faults;
use crate::task::SpecLimits;
use crate::time::Timestamp;

/// What is wrong with a definition, and what is doubtful in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    pub errors: Faults,
    pub warnings: Faults,
}

/// Holds a definition against every rule. `limits` and `now` are those of its tasks.
pub fn validate(definition: &Definition, limits: &SpecLimits, now: Timestamp) -> Findings {
    let mut findings = Findings {
        errors: alone(definition, &Variables::of(&context_fields(definition)), limits, now),
        warnings: Faults::default(),
    };
    if !findings.errors.is_empty() {
        // A target that is misspelt would be told again as a state that nothing leads to.
        return findings;
    }
    let errors = &mut findings.errors;
    reachable::check(definition, errors);
    exits::check(definition, errors);
    endings::check(definition, errors);
    shadowed::check(definition, errors);
    timers::check(definition, errors);
    always::check(definition, errors, &mut findings.warnings);
    compensations::check(definition, errors, &mut findings.warnings);
    failures::check(definition, &mut findings.warnings);
    leaks::check(definition, &mut findings.warnings);
    hasty::check(definition, &mut findings.warnings);
    findings
}

/// The rules that hold for each part, whatever is missing elsewhere.
pub(super) fn validate_alone(definition: &Definition, limits: &SpecLimits, now: Timestamp) -> Faults {
    alone(definition, &Variables::UNKNOWN, limits, now)
}

fn alone(definition: &Definition, variables: &Variables<'_>, limits: &SpecLimits, now: Timestamp) -> Faults {
    let mut errors = Faults::default();
    if size::check(definition, &mut errors) {
        names::check(definition, &mut errors);
        expressions::check(definition, variables, &mut errors);
        tasks::check(definition, variables, limits, now, &mut errors);
        schemas::check(definition, &mut errors);
    }
    errors
}

#[cfg(test)]
mod testing {
    //! What the tests of the rules have in common.

    use super::*;
    use crate::saga::source::read;

    pub(super) fn findings(states: &str) -> Findings {
        let text = format!("name: test\ninitial: A\n{states}");
        let definition = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
        validate(&definition, &SpecLimits::default(), Timestamp::EPOCH)
    }

    fn told(faults: &Faults) -> Vec<String> {
        faults.0.iter().map(ToString::to_string).collect()
    }

    /// The errors of a definition that begins in the state A.
    pub(super) fn errors(states: &str) -> Vec<String> {
        told(&findings(states).errors)
    }

    /// Its warnings; it has no errors.
    pub(super) fn warnings(states: &str) -> Vec<String> {
        let findings = findings(states);
        assert!(findings.errors.is_empty(), "{}", findings.errors);
        told(&findings.warnings)
    }
}
