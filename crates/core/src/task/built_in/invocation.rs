//! How the program of a task is started: what `python`, `csharp` and `shell` take alike.

use std::collections::BTreeMap;

use super::fields::Fields;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    pub args: Vec<String>,
    pub stdin: Option<String>,
    pub env: BTreeMap<String, String>,
    /// Whether it asks for the network of the worker's machine.
    pub network: bool,
}

impl Invocation {
    pub(super) const FIELDS: &'static [&'static str] = &["args", "stdin", "env", "network"];

    pub(super) fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            args: fields.texts("args"),
            stdin: fields.text("stdin"),
            env: fields.variables("env"),
            network: fields.flag("network"),
        }
    }
}
