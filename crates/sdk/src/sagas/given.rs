//! What callers give, held against the rules of the server.

use std::fmt::Display;

use orchestratum_core::JsonText;
use orchestratum_core::task::{Violation, Violations};
use orchestratum_engine::Error as EngineError;
use serde::Serialize;

use crate::Error;

/// A name of a definition, a state or an event.
pub(super) fn named<N, E: Display>(pointer: &str, name: Result<N, E>) -> Result<N, Error> {
    name.map_err(|error| broken(pointer, error))
}

/// What is written as JSON.
pub(super) fn json<T: Serialize + ?Sized>(pointer: &str, value: &T) -> Result<JsonText, Error> {
    JsonText::of(value).map_err(|error| broken(pointer, error))
}

pub(super) fn broken(pointer: &str, rule: impl Display) -> Error {
    Error::SagaInput(Violations(vec![Violation {
        pointer: pointer.to_owned(),
        message: rule.to_string(),
    }]))
}

/// By a rule of the engine.
pub(super) fn by_rule<T>(checked: Result<T, EngineError>) -> Result<T, Error> {
    checked.map_err(|error| match error {
        EngineError::Invalid(violations) => Error::SagaInput(violations),
        error => Error::Engine(error),
    })
}
