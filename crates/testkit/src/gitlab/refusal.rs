//! Answers of GitLab that are no success.

use axum::http::StatusCode;
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Refusal {
    /// What most of GitLab says.
    pub(super) fn message(status: StatusCode, message: impl Into<Value>) -> Self {
        Self {
            status,
            body: json!({"message": message.into()}),
        }
    }

    /// What is said of parameters, and of scopes.
    pub(super) fn error(status: StatusCode, error: &str) -> Self {
        Self {
            status,
            body: json!({"error": error}),
        }
    }

    pub(super) fn bad(message: impl Into<Value>) -> Self {
        Self::message(StatusCode::BAD_REQUEST, message)
    }

    /// Such as "404 File Not Found".
    pub(super) fn not_found(what: &str) -> Self {
        Self::message(StatusCode::NOT_FOUND, what)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, &format!("{parameter} is missing"))
    }

    pub(super) fn no_value(parameter: &str) -> Self {
        Self::error(
            StatusCode::BAD_REQUEST,
            &format!("{parameter} does not have a valid value"),
        )
    }
}
