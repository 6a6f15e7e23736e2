//! What a `csharp` task takes.

use super::fields::Fields;
use super::invocation::Invocation;
use crate::json::JsonText;
use crate::task::rules::Violations;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSharpInput {
    pub code: String,
    /// What the code sees as `Input`.
    pub input: JsonText,
    pub invocation: Invocation,
}

impl CSharpInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["code", "input"], Invocation::FIELDS]);
        let read = Self {
            code: fields.required_text("code"),
            input: fields.json("input"),
            invocation: Invocation::take(&mut fields),
        };
        fields.finish(read)
    }
}
