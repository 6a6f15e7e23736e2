//! The rules for what callers give beside names, whichever way it comes.

use std::collections::BTreeMap;

use orchestratum_core::saga::{Event, Faults, FieldName, Fields, STATES_MAX, StateName};
use orchestratum_core::task::{Violations, json_pointer};
use orchestratum_core::{JsonText, is_reference, reference_rule};

use crate::{Engine, Error};

/// Of the reason of a cancel.
const REASON_MAX_BYTES: usize = 2_000;

/// How many fields of its context a saga that is retried may be given.
pub const CONTEXT_FIELDS_MAX_COUNT: usize = 100;

/// A text by which callers know something: a correlation id, the id of an event. It may have to stand in an address.
///
/// # Errors
/// [`Error::Invalid`] with this pointer.
pub fn check_id(pointer: &str, id: &str) -> Result<(), Error> {
    if is_reference(id) {
        return Ok(());
    }
    Err(broken(pointer, reference_rule()))
}

/// The id of an event from outside.
///
/// # Errors
/// [`Error::Invalid`] with the pointer `/id`.
pub fn check_event_id(id: &str) -> Result<(), Error> {
    if Event::is_reserved(id) {
        return Err(broken(
            "/id",
            "must not begin with start/, task/, join/, default/ or reminder/: such ids have the events that nobody has sent".to_owned(),
        ));
    }
    check_id("/id", id)
}

/// Why something is cancelled, for people.
///
/// # Errors
/// [`Error::Invalid`] with the pointer `/reason`.
pub fn check_reason(reason: &str) -> Result<(), Error> {
    if reason.len() <= REASON_MAX_BYTES && !reason.contains('\0') {
        return Ok(());
    }
    let rule = format!("must have at most {REASON_MAX_BYTES} bytes, none of them U+0000");
    Err(broken("/reason", rule))
}

/// Fields of the context of a saga.
///
/// # Errors
/// [`Error::Invalid`] with pointers below `/context`.
pub fn context_fields(given: BTreeMap<String, JsonText>) -> Result<Fields, Error> {
    if given.len() > CONTEXT_FIELDS_MAX_COUNT {
        let rule = format!("must not have more than {CONTEXT_FIELDS_MAX_COUNT} fields");
        return Err(broken("/context", rule));
    }
    let field = |(name, value): (String, JsonText)| {
        let pointer = format!("/context{}", json_pointer(&name));
        let name = FieldName::new(name).map_err(|error| broken(&pointer, error.to_string()))?;
        Ok((name, value))
    };
    given.into_iter().map(field).collect()
}

/// States of one version of a definition, each with the one that takes its place in another.
///
/// # Errors
/// [`Error::Invalid`] with pointers below `/states`.
pub fn states_of_versions(given: BTreeMap<String, String>) -> Result<BTreeMap<StateName, StateName>, Error> {
    if given.len() > STATES_MAX {
        return Err(broken(
            "/states",
            format!("must not name more than {STATES_MAX} states"),
        ));
    }
    let states = given.into_iter().map(|(old, new)| {
        let pointer = format!("/states{}", json_pointer(&old));
        let named = |name: String| StateName::new(name).map_err(|error| broken(&pointer, error.to_string()));
        Ok((named(old)?, named(new)?))
    });
    states.collect()
}

/// Faults as broken rules of what a caller gave; `None` where one of them is none of that.
pub fn violations(faults: &Faults) -> Option<Violations> {
    let mut violations = Violations::default();
    for fault in &faults.0 {
        if fault.pointer.is_empty() {
            return None;
        }
        let message = match &fault.suggestion {
            Some(name) => format!("{}; did you mean {name}?", fault.message),
            None => fault.message.clone(),
        };
        violations.add(fault.pointer.clone(), message);
    }
    Some(violations)
}

impl Engine {
    /// What a saga is given; `null` if nothing is. It has the limit of the input of a task.
    ///
    /// # Errors
    /// [`Error::Invalid`] with this pointer.
    pub fn checked_json(&self, pointer: &str, given: Option<JsonText>) -> Result<JsonText, Error> {
        let json = given.unwrap_or_else(JsonText::null);
        let most = self.parts.settings.tasks.input_max_bytes;
        if json.len() <= most {
            return Ok(json);
        }
        let rule = format!("must not be larger than {most} bytes, not {}", json.len());
        Err(broken(pointer, rule))
    }
}

fn broken(pointer: &str, rule: String) -> Error {
    let mut violations = Violations::default();
    violations.add(pointer, rule);
    Error::Invalid(violations)
}
