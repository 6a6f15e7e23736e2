//! What a transition changes and starts, and what comes of it.

use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::run::{Failure, Run};
use super::{Effect, Purpose, Rejection};
use crate::JsonText;
use crate::expression::{Scope, Template};
use crate::identity::TaskId;
use crate::saga::compiled::{Action, ChildSaga, Reach, TaskAction, Values};
use crate::saga::definition::{Events, FailureEvents, Fields, Join, OnPartialFailure};
use crate::saga::instance::{Cause, Event, Joining, Live, LiveEnd, Outcome, Undo};
use crate::saga::names::{EventName, FieldName};
use crate::task::{Entry, ErrorKind, MEMBERS_MAX, TaskDraft, TaskError, Violations, in_a_line};

/// An entry of a list that `for_each` goes through.
#[derive(Debug, Clone)]
pub(super) struct Item {
    value: JsonText,
    index: usize,
}

impl Run<'_> {
    fn saga_json(&self) -> JsonText {
        let saga = json!({"id": self.instance.id, "correlation_id": self.instance.correlation_id});
        JsonText::trusted(saga.to_string())
    }

    /// What expressions see.
    pub(super) fn scope(&self, event: &Event, item: Option<&Item>) -> Scope {
        let context: Vec<String> = self.instance.context.iter().map(field).collect();
        let (id, name) = (json!(event.id), json!(event.name.as_str()));
        let event = format!("{{\"id\":{id},\"name\":{name},\"data\":{}}}", event.data);
        let mut variables = vec![
            ("context", JsonText::trusted(format!("{{{}}}", context.join(",")))),
            ("input", self.instance.input.clone()),
            ("event", JsonText::trusted(event)),
            ("saga", self.saga_json()),
        ];
        if let Some(item) = item {
            variables.push(("item", item.value.clone()));
            variables.push(("index", JsonText::trusted(item.index.to_string())));
        }
        Scope::with_steps(variables, self.steps_left)
    }

    /// The values of fields, all of them in one scope: none sees what another becomes.
    fn values(&mut self, fields: &Values, scope: &Scope) -> Result<Fields, Failure> {
        let mut values = Fields::new();
        for (name, template) in fields {
            values.insert(name.clone(), self.value(name.as_str(), template, scope)?);
        }
        self.spent(scope);
        Ok(values)
    }

    fn value(&self, name: &str, template: &Template, scope: &Scope) -> Result<JsonText, Failure> {
        let value = template.render(scope, self.limits.input_max_bytes);
        value.map_err(|(pointer, error)| Failure(format!("{name}{pointer} has no value: {error}")))
    }

    pub(super) fn make_context(&mut self) -> Result<(), Failure> {
        let scope = Scope::new([("input", self.instance.input.clone()), ("saga", self.saga_json())]);
        self.instance.context = self.values(&self.definition.context, &scope)?;
        self.bound_context()
    }

    pub(super) fn set(&mut self, fields: &Values, event: &Event) -> Result<(), Failure> {
        if fields.is_empty() {
            return Ok(());
        }
        let scope = self.scope(event, None);
        let mut values = self.values(fields, &scope)?;
        self.instance.context.append(&mut values);
        self.bound_context()
    }

    pub(super) fn bound_context(&self) -> Result<(), Failure> {
        let most = self.limits.input_max_bytes;
        let context = self.instance.context.iter();
        let bytes: usize = context.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if bytes > most {
            return Err(Failure(format!("the context must not be larger than {most} bytes")));
        }
        Ok(())
    }

    /// Pushes what undoes a transition.
    pub(super) fn register(&mut self, bodies: &[Entry], event: &Event) -> Result<(), Failure> {
        let tasks = self.drafts(bodies, event, None)?;
        self.push(tasks);
        Ok(())
    }

    fn push(&mut self, tasks: Vec<TaskDraft>) {
        for task in tasks {
            let number = self.number();
            self.instance.stack.push(Undo { number, task });
        }
    }

    pub(super) fn number(&mut self) -> u32 {
        self.instance.last_number += 1;
        self.instance.last_number
    }

    fn drafts(&mut self, bodies: &[Entry], event: &Event, item: Option<&Item>) -> Result<Vec<TaskDraft>, Failure> {
        bodies.iter().map(|body| self.draft(body, event, item)).collect()
    }

    /// A task with the values of its expressions, by the rules of a create.
    fn draft(&mut self, body: &Entry, event: &Event, item: Option<&Item>) -> Result<TaskDraft, Failure> {
        let failed = |broken: Violations| {
            let name = &body.draft.name;
            Failure(format!("the task {name} cannot be made: {}", in_a_line(&broken)))
        };
        let scope = self.scope(event, item);
        let rendered = body.render(|| &scope, self.limits.input_max_bytes).map_err(failed);
        self.spent(&scope);
        let rendered = rendered?;
        let draft = TaskDraft {
            follow_ups: rendered.follow_ups,
            ..rendered.draft
        };
        // What is refused is refused now, while the transition can still be undone.
        let checked = draft.clone().check("", TaskId(Uuid::nil()), self.limits, self.now);
        checked.map_err(failed)?;
        Ok(draft)
    }

    pub(super) fn issue_all(&mut self, actions: &[Action], event: &Event) -> Result<(), Failure> {
        actions.iter().try_for_each(|action| match action {
            Action::Task(task) => self.issue(task, event),
            Action::Saga(child) => self.start_child(child, event),
        })
    }

    fn issue(&mut self, task: &TaskAction, event: &Event) -> Result<(), Failure> {
        match &task.reach {
            Reach::Once { raises } => self.issue_one(task, event, None, LiveEnd::Raises(raises.clone())),
            Reach::ForEach { items, join, raises } => self.issue_each(task, event, items, join, raises),
        }
    }

    fn issue_one(
        &mut self,
        task: &TaskAction,
        event: &Event,
        item: Option<&Item>,
        end: LiveEnd,
    ) -> Result<(), Failure> {
        let draft = self.draft(&task.body, event, item)?;
        let compensation = self.drafts(&task.compensation, event, item)?;
        let number = self.number();
        self.instance.live.insert(number, Live { compensation, end });
        self.effects.push(Effect::IssueTask {
            number,
            purpose: Purpose::Forward,
            task: Box::new(draft),
        });
        Ok(())
    }

    fn issue_each(
        &mut self,
        task: &TaskAction,
        event: &Event,
        items: &Template,
        join: &Join,
        raises: &FailureEvents,
    ) -> Result<(), Failure> {
        let scope = self.scope(event, None);
        let list = self.value("for_each", items, &scope);
        self.spent(&scope);
        let list = list?;
        let entries: Vec<&RawValue> = list
            .parse()
            .map_err(|_| Failure("for_each must have a list as its value".to_owned()))?;
        if entries.len() > MEMBERS_MAX {
            let message = format!(
                "for_each goes through {} entries, and may through {MEMBERS_MAX}",
                entries.len()
            );
            return Err(Failure(message));
        }
        let number = self.number();
        let joining = Joining {
            join: join.clone(),
            raises: raises.clone(),
            outcomes: vec![None; entries.len()],
        };
        if entries.is_empty() {
            self.joined(number, &joining);
            return Ok(());
        }
        self.instance.joins.insert(number, joining);
        for (index, entry) in entries.iter().enumerate() {
            let item = Item {
                value: JsonText::trusted(entry.get()),
                index,
            };
            self.issue_one(task, event, Some(&item), LiveEnd::Joins { join: number, index })?;
        }
        Ok(())
    }

    fn start_child(&mut self, child: &ChildSaga, event: &Event) -> Result<(), Failure> {
        let number = self.number();
        let scope = self.scope(event, None);
        let correlation_id = match &child.correlation_id {
            Some(template) => self.value("correlation_id", template, &scope)?,
            None => text(&format!("{}/{number}", self.instance.id)),
        };
        let input = match &child.input {
            Some(template) => self.value("input", template, &scope)?,
            None => JsonText::null(),
        };
        self.spent(&scope);
        let correlation_id = correlation_id
            .parse()
            .map_err(|_| Failure("the correlation_id of a child saga must be a text".to_owned()))?;
        let compensation = self.drafts(&child.compensation, event, None)?;
        let end = LiveEnd::Raises(child.raises.clone());
        self.instance.live.insert(number, Live { compensation, end });
        self.effects.push(Effect::StartSaga {
            number,
            saga: child.saga.clone(),
            correlation_id,
            input,
        });
        Ok(())
    }

    /// Something live has ended; what undoes it is armed if it may have done something.
    pub(super) fn end_live(&mut self, number: u32, outcome: &Outcome) -> Result<Live, Rejection> {
        let live = self.instance.live.remove(&number);
        let mut live = live.ok_or(Rejection::NotLive { number })?;
        let compensation = std::mem::take(&mut live.compensation);
        if outcome.may_have_done_something() {
            self.push(compensation);
        }
        Ok(live)
    }

    /// What the end of a forward task means for a saga that runs.
    pub(super) fn ended(&mut self, number: u32, live: Live, outcome: Outcome) {
        match live.end {
            LiveEnd::Raises(events) => self.raise_end(number, &events, &outcome),
            LiveEnd::Joins { join, index } => self.join(join, index, outcome),
        }
    }

    fn raise_end(&mut self, number: u32, events: &Events, outcome: &Outcome) {
        let (name, data) = match outcome {
            Outcome::Succeeded { output } => match &events.success {
                Some(name) => (name, output.clone()),
                None => return,
            },
            Outcome::Unsuccessful { error, .. } => match events.otherwise.of(error.kind) {
                Some(name) => (name, as_json(error)),
                None => return self.nobody_hears(number, &error.message),
            },
        };
        self.raised.push_back(Event {
            id: format!("task/{number}"),
            name: name.clone(),
            data,
        });
    }

    fn nobody_hears(&mut self, number: u32, message: &str) {
        let failure = Failure(format!("task {number} failed, and raises nothing then: {message}"));
        self.park(Cause::Task { number }, failure);
    }

    fn join(&mut self, number: u32, index: usize, outcome: Outcome) {
        let Some(mut joining) = self.instance.joins.remove(&number) else {
            return;
        };
        let had_failed = joining.has_failed();
        if let Some(place) = joining.outcomes.get_mut(index) {
            *place = Some(outcome);
        }
        if joining.outcomes.iter().all(Option::is_some) {
            self.joined(number, &joining);
            return;
        }
        if joining.has_failed() && !had_failed && joining.join.on_partial_failure == OnPartialFailure::Fail {
            let others = self.instance.live.iter().filter(|(_, live)| match live.end {
                LiveEnd::Raises(_) => false,
                LiveEnd::Joins { join, .. } => join == number,
            });
            let cancelled = others.map(|(other, _)| Effect::CancelTask { number: *other });
            self.effects.extend(cancelled);
        }
        self.instance.joins.insert(number, joining);
    }

    /// All have ended.
    fn joined(&mut self, number: u32, joining: &Joining) {
        let has_failed = joining.has_failed() && joining.join.on_partial_failure == OnPartialFailure::Fail;
        let name = if has_failed {
            joining.raises.of(ErrorKind::Failed).cloned()
        } else {
            Some(joining.join.raises.clone())
        };
        let Some(name) = name else {
            self.nobody_hears(number, "not all of its tasks succeeded");
            return;
        };
        self.raised.push_back(Event {
            id: format!("join/{number}"),
            name,
            data: joining.data(),
        });
    }
}

impl Outcome {
    /// Whether it succeeded, or nobody knows how far it came. What only its output was refused of has been done.
    fn may_have_done_something(&self) -> bool {
        match self {
            Self::Succeeded { .. } => true,
            Self::Unsuccessful { error, has_started } => match error.kind {
                ErrorKind::Lost
                | ErrorKind::TimedOut
                | ErrorKind::Expired
                | ErrorKind::Cancelled
                | ErrorKind::OutOfMemory
                | ErrorKind::OutputNotStorable => *has_started,
                ErrorKind::Failed
                | ErrorKind::NotFound
                | ErrorKind::CompileError
                | ErrorKind::UnknownEnvironment
                | ErrorKind::NotGranted => false,
            },
        }
    }
}

impl FailureEvents {
    /// What an end of this kind raises.
    fn of(&self, kind: ErrorKind) -> Option<&EventName> {
        let own = match kind {
            ErrorKind::Cancelled => self.cancelled.as_ref(),
            ErrorKind::Expired => self.expired.as_ref(),
            ErrorKind::Failed
            | ErrorKind::TimedOut
            | ErrorKind::NotFound
            | ErrorKind::Lost
            | ErrorKind::OutOfMemory
            | ErrorKind::OutputNotStorable
            | ErrorKind::CompileError
            | ErrorKind::UnknownEnvironment
            | ErrorKind::NotGranted => None,
        };
        own.or(self.failure.as_ref())
    }
}

impl Joining {
    fn errors(&self) -> impl Iterator<Item = (usize, &TaskError)> {
        let outcomes = self.outcomes.iter().enumerate();
        outcomes.filter_map(|(index, outcome)| match outcome {
            Some(Outcome::Unsuccessful { error, .. }) => Some((index, error)),
            Some(Outcome::Succeeded { .. }) | None => None,
        })
    }

    fn has_failed(&self) -> bool {
        self.errors().next().is_some()
    }

    /// All outputs in the order of the list, `null` where there is none, and the errors with their places; where there are any, the
    /// message of the first as that of the whole.
    fn data(&self) -> JsonText {
        let outputs = self.outcomes.iter().map(|outcome| match outcome {
            Some(Outcome::Succeeded { output }) => output.as_str(),
            Some(Outcome::Unsuccessful { .. }) | None => "null",
        });
        let outputs: Vec<&str> = outputs.collect();
        let errors = self.errors().map(|(index, error)| {
            json!({"index": index, "kind": error.kind.as_str(), "message": error.message}).to_string()
        });
        let errors: Vec<String> = errors.collect();
        let message = json!(self.errors().next().map(|(_, error)| &error.message));
        let (outputs, errors) = (outputs.join(","), errors.join(","));
        JsonText::trusted(format!(
            "{{\"outputs\":[{outputs}],\"errors\":[{errors}],\"message\":{message}}}"
        ))
    }
}

fn field((name, value): (&FieldName, &JsonText)) -> String {
    format!("{}:{value}", json!(name.as_str()))
}

fn as_json(error: &TaskError) -> JsonText {
    JsonText::trusted(json!({"kind": error.kind.as_str(), "message": error.message}).to_string())
}

fn text(text: &str) -> JsonText {
    JsonText::trusted(json!(text).to_string())
}
