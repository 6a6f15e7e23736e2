//! A command as a task: what a create takes, and what a list of follow-ups has.

use std::time::Duration;

use orchestratum_core::JsonText;
use orchestratum_core::task::{Backoff, FollowUps, TaskDraft};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::chain::after_pushed;
use crate::{Command, CommandId, Envelope, Error};

/// How long a task may wait for its turn before it is as old as a task may be that says nothing: the default of a server.
const DEFAULT_TTL: Duration = Duration::from_secs(86_400);

/// The longest time-to-live of a server that is not told otherwise: a hundred years.
const LONGEST_TTL: Duration = Duration::from_secs(36_525 * 86_400);

/// Commands that have no id yet, nearest first. Their ids stand in what comes after them for those they will get.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ancestors(Vec<CommandId>);

impl Ancestors {
    pub(crate) fn with(&self, nearest: CommandId) -> Self {
        let mut ids = vec![nearest];
        ids.extend(&self.0);
        Self(ids)
    }

    /// A text as an expression has it: what it says literally, and the ids of those before as they will be.
    ///
    /// # Errors
    /// If it names one that is too far away for an expression to see.
    fn expression(&self, text: &str) -> Result<String, String> {
        let mut text = text.replace("${", "$${");
        for (id, variable) in self.0.iter().zip(["task.id", "task.parent_id"]) {
            text = with_variable(&text, &id.to_string(), variable);
        }
        self.refuse_far(&text, 2)?;
        Ok(text)
    }

    fn refuse_far(&self, text: &str, known: usize) -> Result<(), String> {
        if self.0.iter().skip(known).any(|id| text.contains(&id.to_string())) {
            return Err(
                "it names the id of a command that comes further before it than the one before the last: that one will get \
                 its id only when it is written"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// All texts of a value, at any depth; names of fields are never expressions.
    fn expressions(&self, value: Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.expression(&text)?),
            Value::Array(values) => {
                let values: Result<Vec<Value>, String> =
                    values.into_iter().map(|value| self.expressions(value)).collect();
                Value::Array(values?)
            }
            Value::Object(fields) => {
                let mut written = Map::new();
                for (name, value) in fields {
                    self.refuse_far(&name, 0)?;
                    written.insert(name, self.expressions(value)?);
                }
                Value::Object(written)
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
        })
    }
}

/// The text with an expression wherever it has the id. Dollars right before one become an expression as well: `$${` would stand
/// for `${`.
fn with_variable(text: &str, id: &str, variable: &str) -> String {
    let mut parts = text.split(id);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        let dollars = written.split_off(written.trim_end_matches('$').len());
        if !dollars.is_empty() {
            written.extend(["${ '", dollars.as_str(), "' }"]);
        }
        written.extend(["${ ", variable, " }", rest]);
    }
    written
}

/// A command as a task.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    name: &'static str,
    input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    timeout_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<f64>,
    max_retries: u16,
    backoff: Backoff,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on_failure: Vec<Self>,
    #[serde(skip_serializing_if = "OrFailure::is_empty")]
    on_cancel: OrFailure,
    #[serde(skip_serializing_if = "OrFailure::is_empty")]
    on_expire: OrFailure,
}

/// What was pushed to a list that may be that of the failure.
#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    /// It has what comes after a failure, and then what was pushed.
    pub(crate) begins_as_after_failure: bool,
    pub(crate) entries: Vec<Entry>,
}

/// A list as it is written. What is there already is not written again: with each command of a chain of failures that would be
/// three times as much.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum OrFailure {
    List(Vec<Entry>),
    AsFailure(Edge),
}

/// The word for the list of the failure.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Edge {
    OnFailure,
}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.begins_as_after_failure
    }

    fn beside(self, failure: &[Entry]) -> OrFailure {
        if !self.begins_as_after_failure || failure.is_empty() {
            OrFailure::List(self.entries)
        } else if self.entries.is_empty() {
            OrFailure::AsFailure(Edge::OnFailure)
        } else {
            OrFailure::List(failure.iter().cloned().chain(self.entries).collect())
        }
    }
}

impl OrFailure {
    fn is_empty(&self) -> bool {
        matches!(self, Self::List(entries) if entries.is_empty())
    }
}

impl Entry {
    /// A command to be pushed, with what comes after it unless it succeeds.
    pub(crate) fn pushed<C: Command>(envelope: &Envelope<C>) -> Result<Self, Error> {
        let mut entry = Self::of(envelope).map_err(|reason| Error::Input {
            command: C::NAME,
            reason,
        })?;
        after_pushed(envelope, &mut entry).map_err(|reason| Error::Chain {
            command: C::NAME,
            reason,
        })?;
        Ok(entry)
    }

    /// A command that comes after another, without what comes after itself.
    pub(crate) fn follow_up<C: Command>(envelope: &Envelope<C>, ancestors: &Ancestors) -> Result<Self, String> {
        let mut entry = Self::of(envelope).map_err(|reason| format!("`{}`: {reason}", C::NAME))?;
        entry.input = ancestors.expressions(entry.input)?;
        Ok(entry)
    }

    fn of<C: Command>(envelope: &Envelope<C>) -> Result<Self, String> {
        let command = &envelope.command;
        let timeout = envelope.timeout.unwrap_or_else(|| command.timeout());
        let retries = envelope.retries.unwrap_or_else(|| command.retries());
        let ttl = envelope.ttl.or_else(|| command.ttl());
        let all_attempts = timeout.saturating_mul(u32::from(retries) + 1);
        let ttl = ttl.or_else(|| (all_attempts > DEFAULT_TTL).then_some(all_attempts.min(LONGEST_TTL)));
        let input = serde_json::to_value(command).map_err(|error| format!("it cannot be written as JSON: {error}"))?;
        Ok(Self {
            name: C::NAME,
            input,
            target: envelope.target.clone().or_else(|| command.target().map(str::to_owned)),
            priority: envelope.priority,
            timeout_seconds: timeout.as_secs_f64(),
            ttl_seconds: ttl.map(|ttl| ttl.as_secs_f64()),
            max_retries: retries,
            backoff: Backoff::None,
            delay_seconds: envelope.delay.map(|delay| delay.as_secs_f64()),
            on_failure: Vec::new(),
            on_cancel: OrFailure::List(Vec::new()),
            on_expire: OrFailure::List(Vec::new()),
        })
    }

    /// What comes after it that is known when it is pushed.
    pub(crate) fn set_lists(&mut self, failure: Vec<Self>, cancellation: List, expiry: List) {
        self.on_cancel = cancellation.beside(&failure);
        self.on_expire = expiry.beside(&failure);
        self.on_failure = failure;
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn with_default_target(mut self, target: Option<&str>) -> Self {
        self.target = self.target.or_else(|| target.map(str::to_owned));
        self
    }

    pub(crate) fn json(&self) -> Result<JsonText, String> {
        JsonText::of(self).map_err(|error| format!("`{}`: {error}", self.name))
    }

    /// What a create takes.
    pub(crate) fn draft(&self) -> Result<TaskDraft, String> {
        let list = |entries: &[Self]| entries.iter().map(Self::json).collect::<Result<Vec<_>, _>>();
        let failure = list(&self.on_failure)?;
        let or_failure = |other: &OrFailure| match other {
            OrFailure::List(entries) => list(entries),
            OrFailure::AsFailure(Edge::OnFailure) => Ok(failure.clone()),
        };
        let input = JsonText::of(&self.input).map_err(|error| error.to_string())?;
        Ok(TaskDraft {
            name: self.name.to_owned(),
            target: self.target.clone(),
            input: Some(input),
            priority: self.priority.map(i64::from),
            ttl_seconds: self.ttl_seconds,
            timeout_seconds: Some(self.timeout_seconds),
            max_retries: Some(i64::from(self.max_retries)),
            backoff: Some(self.backoff),
            delay_seconds: self.delay_seconds,
            follow_ups: FollowUps::new([
                Vec::new(),
                failure.clone(),
                or_failure(&self.on_cancel)?,
                or_failure(&self.on_expire)?,
            ]),
            ..TaskDraft::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::expression::{Scope, Template, Variable};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> CommandId {
        CommandId::from(Uuid::from_u128(number))
    }

    #[test]
    fn texts_stay_what_they_are_and_ids_that_are_not_known_yet_become_expressions() {
        let ancestors = Ancestors::default().with(id(3)).with(id(2)).with(id(1));
        let read = |value: Value| ancestors.expressions(value);
        assert_eq!(
            read(json!([1, null, "${ output }"])),
            Ok(json!([1, null, "$${ output }"]))
        );
        let ids = json!({"a": id(1), "b": format!("of {}", id(2)), "c": id(9)});
        let expected = json!({"a": "${ task.id }", "b": "of ${ task.parent_id }", "c": id(9)});
        assert_eq!(read(ids), Ok(expected));
        for far in [json!(id(3)), json!({id(1).to_string(): 1})] {
            assert!(read(far.clone()).is_err(), "{far}");
        }
    }

    #[test]
    fn dollars_before_an_id_stay_dollars() {
        let (task, parent) = (id(1), id(2));
        let ancestors = Ancestors::default().with(parent).with(task);
        let variables = [Variable::with_fields("task", &["id", "parent_id"])];
        let ids = JsonText::of(&json!({"id": task, "parent_id": parent})).expect("JSON");
        let scope = Scope::new([("task", ids)]);
        assert_eq!(
            ancestors.expression(&format!("${task}")),
            Ok("${ '$' }${ task.id }".to_owned())
        );
        for text in [
            format!("${task}"),
            format!("it costs $$${task}${parent}, {parent}${{ x }}$"),
            format!("$${{${{{task}}} $ {parent}{task}$"),
        ] {
            let written = ancestors.expression(&text).expect("both are near");
            let written = JsonText::of(&written).expect("JSON");
            let template = Template::parse(&written, &variables).expect("a template");
            let rendered = template.render(&scope, 1_000).expect("both are there");
            assert_eq!(rendered.parse::<String>().expect("a text"), text, "{written}");
        }
    }
}
