//! The text of a key, and its value for a task.

use std::cell::OnceCell;

use serde_json::json;

use crate::JsonText;
use crate::expression::{EvaluationError, REGEXES_MAX, Scope, Template, Variable};
use crate::identity::{Target, TaskId, TaskName};
use crate::task::rules::Violations;
use crate::task::spec::Labels;
use crate::time::Timestamp;

/// The longest a key may be, once its expressions have values.
pub const KEY_MAX_CHARACTERS: usize = 200;

/// The longest text of a key with expressions.
const TEMPLATE_MAX_BYTES: usize = 2_000;

/// How large a value may grow before the rule for its length is asked.
const RENDERED_MAX_BYTES: usize = 10_000;

/// How many steps the keys of a task may take together, about a millisecond: those of a thousand follow-ups are evaluated while
/// rows are locked.
const STEPS_MAX: u64 = 10_000;

/// What the expressions of a key see of their task.
const VARIABLES: [Variable<'static>; 2] = [
    Variable::any("input"),
    Variable::with_fields(
        "task",
        &[
            "id",
            "name",
            "target",
            "description",
            "labels",
            "priority",
            "parent_id",
            "created_at",
            "scheduled_at",
        ],
    ),
];

/// A task as far as it is known when it is made.
#[derive(Debug, Clone, Copy)]
pub(in crate::task) struct KnownTask<'a> {
    pub(in crate::task) id: TaskId,
    pub(in crate::task) name: &'a TaskName,
    pub(in crate::task) target: &'a Target,
    pub(in crate::task) description: Option<&'a str>,
    pub(in crate::task) input: &'a JsonText,
    pub(in crate::task) labels: &'a Labels,
    pub(in crate::task) priority: u8,
    pub(in crate::task) parent_id: Option<TaskId>,
    pub(in crate::task) created_at: Timestamp,
    pub(in crate::task) scheduled_at: Timestamp,
}

impl KnownTask<'_> {
    fn as_json(&self) -> JsonText {
        let task = json!({
            "id": self.id,
            "name": self.name.as_str(),
            "target": self.target.as_str(),
            "description": self.description,
            "labels": self.labels,
            "priority": self.priority,
            "parent_id": self.parent_id,
            "created_at": self.created_at.to_string(),
            "scheduled_at": self.scheduled_at.to_string(),
        });
        JsonText::trusted(task.to_string())
    }
}

/// Gives keys their values, all of them in one scope: their steps are bounded together.
pub(super) struct Keys<'a> {
    task: KnownTask<'a>,
    /// Made when the first expression asks.
    scope: OnceCell<Scope>,
}

impl<'a> Keys<'a> {
    pub(super) const fn of(task: KnownTask<'a>) -> Self {
        Self {
            task,
            scope: OnceCell::new(),
        }
    }

    /// The value of a text that was [parsed](parse) before, or `None` with the reason noted.
    pub(super) fn value(&self, pointer: &str, text: &str, violations: &mut Violations) -> Option<String> {
        let key = match parse(text).ok()? {
            None => Ok(text.to_owned()),
            Some(template) => match template.render(self.scope(), RENDERED_MAX_BYTES) {
                Ok(value) => as_key(&value),
                Err((_, EvaluationError::TooManySteps)) => {
                    Err(format!("the keys of a task take more than {STEPS_MAX} steps together"))
                }
                Err((_, error)) => Err(error.to_string()),
            },
        };
        violations.take(pointer, key.and_then(|key| check(&key).map(|()| key)))
    }

    fn scope(&self) -> &Scope {
        self.scope.get_or_init(|| {
            let variables = [("input", self.task.input.clone()), ("task", self.task.as_json())];
            Scope::with_free_reading(variables, STEPS_MAX)
        })
    }

    pub(super) const fn task(&self) -> &KnownTask<'a> {
        &self.task
    }
}

/// The template of a text, if it holds expressions.
///
/// # Errors
/// What is wrong with its expressions.
pub(super) fn parse(text: &str) -> Result<Option<Template>, Vec<String>> {
    if !text.contains("${") {
        return Ok(None);
    }
    if text.len() > TEMPLATE_MAX_BYTES {
        let length = text.len();
        return Err(vec![format!(
            "must have at most {TEMPLATE_MAX_BYTES} bytes, not {length}"
        )]);
    }
    let json = JsonText::trusted(serde_json::to_string(text).expect("a text is always JSON"));
    match Template::parse(&json, &VARIABLES) {
        Ok(template) if template.size().regexes > REGEXES_MAX => Err(vec![format!(
            "must not have more than {REGEXES_MAX} regular expressions"
        )]),
        Ok(template) => Ok(Some(template)),
        Err(faults) => Err(faults.into_iter().map(|fault| fault.fault.to_string()).collect()),
    }
}

/// The rules for a key that has its value.
pub(super) fn check(key: &str) -> Result<(), String> {
    let length = key.chars().count();
    if length == 0 || length > KEY_MAX_CHARACTERS {
        return Err(format!("must have 1 to {KEY_MAX_CHARACTERS} characters, not {length}"));
    }
    if key.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

/// Texts as they are, numbers and booleans as JSON.
fn as_key(value: &JsonText) -> Result<String, String> {
    let kind = match value.parse::<serde_json::Value>() {
        Ok(serde_json::Value::String(text)) => return Ok(text),
        Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => return Ok(value.as_str().to_owned()),
        Ok(serde_json::Value::Null) | Err(_) => "null",
        Ok(serde_json::Value::Array(_)) => "an array",
        Ok(serde_json::Value::Object(_)) => "an object",
    };
    Err(format!("must become a text or a number, not {kind}"))
}
