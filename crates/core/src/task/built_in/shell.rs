//! What a `shell` task takes.

use super::fields::Fields;
use super::invocation::Invocation;
use crate::task::rules::Violations;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellInput {
    /// The program, whether it came as `command` or as `script`.
    pub script: String,
    pub invocation: Invocation,
}

impl ShellInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["command", "script"], Invocation::FIELDS]);
        let read = Self {
            script: program(&mut fields),
            invocation: Invocation::take(&mut fields),
        };
        fields.finish(read)
    }
}

/// Exactly one of the two.
fn program(fields: &mut Fields<'_>) -> String {
    match (fields.is_absent("command"), fields.is_absent("script")) {
        (false, true) => fields.required_text("command"),
        (true, false) => fields.required_text("script"),
        (true, true) => {
            fields.lack("must have a command or a script");
            String::new()
        }
        (false, false) => {
            fields.refuse("script", "must be left out where there is a command");
            String::new()
        }
    }
}
