//! What a `python` task takes.

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::identity::EnvironmentName;
use crate::json::JsonText;
use crate::task::rules::Violations;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonInput {
    pub code: String,
    /// The argument of `main`.
    pub input: JsonText,
    pub args: Vec<String>,
    pub stdin: Option<String>,
    pub env: BTreeMap<String, String>,
    /// Whether it asks for the network of the worker's machine.
    pub network: bool,
    /// Whose packages the code imports beside the standard library; that of the worker's interpreter if absent.
    pub environment: Option<EnvironmentName>,
}

impl PythonInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        const FIELDS: &[&str] = &["code", "input", "args", "stdin", "env", "network", "environment"];
        let mut fields = Fields::of(input, FIELDS);
        let read = Self {
            code: fields.required_text("code"),
            input: fields.json("input"),
            args: fields.texts("args"),
            stdin: fields.text("stdin"),
            env: fields.variables("env"),
            network: fields.flag("network"),
            environment: fields.environment("environment"),
        };
        fields.finish(read)
    }
}
