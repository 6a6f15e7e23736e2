//! An entry whose expressions have got their values.

use super::FollowUps;
use super::body::Entry;
use crate::JsonText;
use crate::expression::{Scope, Template};
use crate::task::rules::{Violations, json_pointer};
use crate::task::spec::TaskDraft;

/// The longest of a field that is a text, before its own rule is asked.
const TEXT_MAX_BYTES: usize = 10_000;

/// What an entry stands for in one scope. The draft is not checked.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) draft: TaskDraft,
    /// Whether it has labels of its own, and be it none.
    pub(crate) has_labels: bool,
    pub(crate) follow_ups: FollowUps,
}

impl Entry {
    /// `scope` is asked for only where there are expressions.
    ///
    /// # Errors
    /// All expressions that have no value, as [`Violations`].
    pub(crate) fn render<'s>(
        &self,
        scope: impl Fn() -> &'s Scope,
        input_max_bytes: usize,
    ) -> Result<Rendered, Violations> {
        let Self {
            draft,
            input,
            description,
            target,
            delay_seconds,
            labels,
            has_labels,
            follow_ups,
            keys: _,
        } = self;
        let mut draft = draft.clone();
        let mut violations = Violations::default();
        let mut value = |pointer: &str, template: Option<&Template>, most: usize| {
            let rendered = template?.render(scope(), most);
            rendered
                .map_err(|(below, error)| violations.add(format!("{pointer}{below}"), error.to_string()))
                .ok()
        };
        if let Some(input) = value("/input", input.as_ref(), input_max_bytes) {
            draft.input = Some(input);
        }
        if let Some(description) = value("/description", description.as_ref(), TEXT_MAX_BYTES) {
            draft.description = as_text(&description);
        }
        if let Some(target) = value("/target", target.as_ref(), TEXT_MAX_BYTES) {
            draft.target = as_text(&target);
        }
        let delay = value("/delay_seconds", delay_seconds.as_ref(), TEXT_MAX_BYTES);
        for (key, label) in labels {
            let pointer = format!("/labels{}", json_pointer(key));
            if let Some(label) = value(&pointer, Some(label), TEXT_MAX_BYTES) {
                draft.labels.insert(key.clone(), as_text(&label).unwrap_or_default());
            }
        }
        if let Some(delay) = delay {
            match delay.parse() {
                Ok(seconds) => draft.delay_seconds = Some(seconds),
                Err(_) => violations.add("/delay_seconds", "must be a number"),
            }
        }
        violations.into_result()?;
        Ok(Rendered {
            draft,
            has_labels: *has_labels,
            follow_ups: follow_ups.clone(),
        })
    }
}

/// Texts as they are, anything else as JSON; nothing where there is `null`.
fn as_text(json: &JsonText) -> Option<String> {
    match json.parse::<Option<String>>() {
        Ok(text) => text,
        Err(_) => Some(json.as_str().to_owned()),
    }
}
