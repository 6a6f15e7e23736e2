//! The text of a saga definition: YAML, or JSON.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use orchestratum_core::saga::{Fault, Faults};

use super::body::{content, content_type};
use crate::problem::{Code, Problem, Result};

const TAKEN: [&str; 5] = [
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "application/json",
];

/// As it came. Both languages are read by the same rules, so that the places of faults are those of the text.
#[derive(Debug)]
pub(crate) struct Source(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for Source {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let given = content_type(&parts.headers);
        if !given.as_deref().is_some_and(|given| TAKEN.contains(&given)) {
            let detail = format!(
                "the content type must be one of {}, not {}",
                TAKEN.join(", "),
                given.as_deref().unwrap_or("missing")
            );
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        match str::from_utf8(&content(parts)) {
            Ok(text) => Ok(Self(text.to_owned())),
            Err(error) => {
                let message = format!("must be UTF-8, and is not from byte {} on", error.valid_up_to());
                Err(Problem::invalid_definition(Faults(vec![Fault::new("", message)])))
            }
        }
    }
}
