//! What a saga asks somebody while it waits for an answer.

use super::compiled::{AnswerSchema, CompiledDefinition};
use super::definition::AwaitInput;
use super::instance::Instance;
use crate::expression::{Scope, Template};
use crate::text::shortened;

/// How long what is asked may become: people read it.
const PROMPT_MAX_BYTES: usize = 16 << 10;

/// How long it may become before it is shortened: an error of a task alone may have as many bytes as people are to read.
const RENDERED_MAX_BYTES: usize = 64 << 10;

/// How many steps a prompt may take: it is rendered for each that reads the saga. Reading what it is made of is bounded by how large the
/// saga is.
const PROMPT_STEPS_MAX: u64 = 10_000;

/// What a state asks.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) input: AwaitInput,
    pub(super) prompt: Template,
    /// That of the input, where answers are held against it.
    pub(super) schema: Option<Box<dyn AnswerSchema>>,
}

impl Question {
    /// The prompt as the saga asks it now, without its middle where it is long. Where one of its expressions has no value, or takes too
    /// many steps, it is as its author wrote it: better a question that is hard to read than one that nobody can answer.
    pub(super) fn prompt(&self, instance: &Instance) -> String {
        let seen = [
            ("context", instance.context_json()),
            ("input", instance.input.clone()),
            ("saga", instance.identity_json()),
        ];
        let scope = Scope::with_free_reading(seen, PROMPT_STEPS_MAX);
        let rendered = self.prompt.render(&scope, RENDERED_MAX_BYTES).ok();
        let prompt = rendered.map(|json| serde_json::from_str(json.as_str()).unwrap_or_else(|_| json.to_string()));
        let prompt = prompt.unwrap_or_else(|| self.input.prompt.clone());
        shortened(&prompt, PROMPT_MAX_BYTES, "").into_owned()
    }
}

impl CompiledDefinition {
    /// What the saga asks for, with its prompt as it is asked now; `None` if it asks nobody.
    pub fn question(&self, instance: &Instance) -> Option<AwaitInput> {
        instance.awaiting.as_ref()?;
        let question = self.active_state(&instance.state)?.question.as_ref()?;
        Some(AwaitInput {
            prompt: question.prompt(instance),
            ..question.input.clone()
        })
    }
}
