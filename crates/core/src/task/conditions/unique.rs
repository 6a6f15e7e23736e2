//! Which tasks are alike.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::key::Keys;
use crate::JsonText;
use crate::task::rules::Violations;
use crate::task::status::TaskStatus;
use crate::time::Timestamp;

/// No other task like it may be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// As its caller wrote it.
    pub by: JsonText,
    /// How long ago the other one may have been made, in milliseconds; without it, any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// Where the other one may stand.
    pub states: Vec<TaskStatus>,
    /// Equal for tasks that are alike: hexadecimal digits.
    pub hash: String,
}

impl Unique {
    /// Whether a task like it, which stands so and was made then, is met.
    pub fn meets(&self, status: TaskStatus, created_at: Timestamp, now: Timestamp) -> bool {
        let young = self
            .within_ms
            .is_none_or(|within| now.saturating_since(created_at) < Duration::from_millis(within));
        young && self.states.contains(&status)
    }
}

/// What tasks must have in common to be alike.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    Fields(Vec<Field>),
    /// A text with expressions.
    Key(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Name,
    Target,
    Input,
    Description,
    Labels,
    Priority,
}

impl Field {
    const ALL: [Self; 6] = [
        Self::Name,
        Self::Target,
        Self::Input,
        Self::Description,
        Self::Labels,
        Self::Priority,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Target => "target",
            Self::Input => "input",
            Self::Description => "description",
            Self::Labels => "labels",
            Self::Priority => "priority",
        }
    }
}

impl Likeness {
    pub(super) fn read(by: &JsonText) -> Result<Self, String> {
        let known = || Field::ALL.map(Field::as_str).join(", ");
        match by.parse::<Value>() {
            Ok(Value::String(text)) => Ok(Self::Key(text)),
            Ok(Value::Array(names)) if names.is_empty() => Err(format!("must name at least one of {}", known())),
            Ok(Value::Array(names)) => {
                let mut fields = Vec::new();
                for name in names {
                    let field = Field::ALL
                        .into_iter()
                        .find(|field| name.as_str() == Some(field.as_str()));
                    let told = name.as_str().unwrap_or("something else").chars().take(100);
                    let field = field
                        .ok_or_else(|| format!("must name some of {}, not {}", known(), told.collect::<String>()))?;
                    if !fields.contains(&field) {
                        fields.push(field);
                    }
                }
                fields.sort_unstable();
                Ok(Self::Fields(fields))
            }
            _ => Err(format!(
                "must be a list of fields or a text; the fields are {}",
                known()
            )),
        }
    }

    /// Equal for tasks that are alike. What is written otherwise and means the same, such as an object whose fields come in
    /// another order, has the same hash.
    pub(super) fn hash(&self, keys: &Keys<'_>, violations: &mut Violations) -> Option<String> {
        let likeness = match self {
            Self::Key(text) => json!(keys.value("/unique/by", text, violations)?),
            Self::Fields(fields) => {
                let task = keys.task();
                let value = |field: &Field| match field {
                    Field::Name => json!(task.name.as_str()),
                    Field::Target => json!(task.target.as_str()),
                    // Maps of `serde_json` are in the order of their keys.
                    Field::Input => task.input.parse().unwrap_or(Value::Null),
                    Field::Description => json!(task.description),
                    Field::Labels => json!(task.labels),
                    Field::Priority => json!(task.priority),
                };
                let values: BTreeMap<&str, Value> = fields.iter().map(|field| (field.as_str(), value(field))).collect();
                json!(values)
            }
        };
        let digest = Sha256::digest(likeness.to_string());
        Some(digest.iter().fold(String::with_capacity(64), |mut hash, byte| {
            write!(hash, "{byte:02x}").expect("a String takes every character");
            hash
        }))
    }
}
