//! What a `csharp` task takes.

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::json::JsonText;
use crate::task::rules::Violations;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSharpInput {
    pub code: String,
    /// What the code sees as `Input`.
    pub input: JsonText,
    pub args: Vec<String>,
    pub stdin: Option<String>,
    pub env: BTreeMap<String, String>,
    /// Whether it asks for the network of the worker's machine.
    pub network: bool,
}

impl CSharpInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &["code", "input", "args", "stdin", "env", "network"]);
        let read = Self {
            code: fields.required_text("code"),
            input: fields.json("input"),
            args: fields.texts("args"),
            stdin: fields.text("stdin"),
            env: fields.variables("env"),
            network: fields.flag("network"),
        };
        fields.finish(read)
    }
}
