//! What a definition must meet beside its form, one rule a file.
//!
//! Pointers go into the canonical form. Rules about one part alone hold whatever the rest is; rules about the whole are asked
//! of a definition without gaps, since a gap would make them speak of what nobody wrote.

mod always;
mod children;
mod compensations;
mod endings;
mod exits;
mod expressions;
mod failures;
mod gaps;
mod hasty;
mod leaks;
mod multiplying;
mod names;
mod reachable;
mod schemas;
mod shadowed;
mod size;
mod tasks;
mod timers;
mod unawaited;
mod variables;
mod ways;

pub(super) use children::children;
pub(super) use gaps::Gaps;
pub(super) use multiplying::check_with_others;
pub use multiplying::started_definitions;
pub use schemas::{SCHEMA_MAX_BYTES, SCHEMA_PARTS_MAX, schema_faults, schema_parts};
pub use size::STATES_MAX;
pub use variables::context_fields;
pub(super) use variables::{CONTEXT_VARIABLES, ITEM_VARIABLES, PROMPT_VARIABLES, VARIABLES};

use self::variables::Variables;
use super::definition::Definition;
use super::fault::{Fault, Faults};
use crate::task::SpecLimits;
use crate::time::Timestamp;

/// What is wrong with a definition, and what is doubtful in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    pub errors: Faults,
    pub warnings: Faults,
}

/// Holds a definition against every rule, however many it breaks. `limits` and `now` are those of its tasks.
pub fn validate(definition: &Definition, limits: &SpecLimits, now: Timestamp) -> Findings {
    let mut findings = Findings::default();
    let Findings { errors, warnings } = &mut findings;
    let fields = context_fields(definition);
    let variables = Variables::of(&fields);
    if !parts(definition, &Gaps::default(), &variables, limits, now, errors) {
        return findings;
    }
    reachable::check(definition, errors);
    exits::check(definition, errors);
    endings::check(definition, errors);
    shadowed::check(definition, errors);
    timers::check(definition, errors);
    always::check(definition, errors, warnings);
    compensations::check(definition, errors, warnings);
    if errors.is_empty() {
        failures::check(definition, warnings);
        leaks::check(definition, warnings);
        hasty::check(definition, warnings);
        multiplying::check(definition, warnings);
        unawaited::check(definition, warnings);
    } else {
        // What is doubtful is asked of what can be run.
        warnings.0.clear();
    }
    findings
}

/// The rules that hold for each part, whatever is missing elsewhere.
pub(super) fn validate_with_gaps(definition: &Definition, gaps: &Gaps, limits: &SpecLimits, now: Timestamp) -> Faults {
    let mut errors = Faults::default();
    if parts(definition, gaps, &Variables::UNKNOWN, limits, now, &mut errors) {
        let mut of_states = Faults::default();
        exits::check(definition, &mut of_states);
        shadowed::check(definition, &mut of_states);
        timers::check(definition, &mut of_states);
        for (name, _) in ways::active(definition).filter(|(name, _)| gaps.spare(name)) {
            let pointer = format!("/states/{name}");
            let is_in_it = |fault: &&Fault| match fault.pointer.strip_prefix(&pointer) {
                Some(rest) => rest.is_empty() || rest.starts_with('/'),
                None => false,
            };
            let found: Vec<Fault> = of_states.0.iter().filter(is_in_it).cloned().collect();
            errors.extend(Faults(found));
        }
    }
    errors
}

/// Whether it is small enough to look closer, and what is wrong with its parts.
fn parts(
    definition: &Definition,
    gaps: &Gaps,
    variables: &Variables<'_>,
    limits: &SpecLimits,
    now: Timestamp,
    errors: &mut Faults,
) -> bool {
    if !size::check(definition, errors) {
        return false;
    }
    names::check(definition, gaps, errors);
    expressions::check(definition, variables, errors);
    tasks::check(definition, variables, limits, now, errors);
    schemas::check(definition, errors);
    true
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
