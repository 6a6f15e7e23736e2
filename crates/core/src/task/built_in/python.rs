//! What a `python` task takes.

use super::fields::Fields;
use super::invocation::Invocation;
use crate::identity::EnvironmentName;
use crate::json::JsonText;
use crate::task::rules::Violations;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonInput {
    pub code: String,
    /// The argument of `main`.
    pub input: JsonText,
    pub invocation: Invocation,
    /// Whose packages the code imports beside the standard library; that of the worker's interpreter if absent.
    pub environment: Option<EnvironmentName>,
}

impl PythonInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["code", "input"], Invocation::FIELDS, &["environment"]]);
        let read = Self {
            code: fields.required_text("code"),
            input: fields.json("input"),
            invocation: Invocation::take(&mut fields),
            environment: fields.environment("environment"),
        };
        fields.finish(read)
    }
}
