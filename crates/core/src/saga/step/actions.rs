//! What a transition changes and starts, and what comes of it.

use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::bounds::ITEMS_MAX;
use super::run::{Failure, Raised, Run, Untaken};
use super::{Effect, Purpose, Rejection};
use crate::JsonText;
use crate::expression::{STEPS_MAX, Scope, Template};
use crate::identity::{TaskId, is_reference, reference_rule};
use crate::saga::compiled::{Action, ChildSaga, Reach, TaskAction, Values};
use crate::saga::definition::{FailureEvents, Fields, Join};
use crate::saga::instance::{Cause, Event, Joining, Live, LiveEnd, Outcome, Undo};
use crate::saga::mutant::{Mutant, is_planted};
use crate::saga::names::EventName;
use crate::task::{Entry, ErrorKind, TaskDraft, Violations, in_a_line};

/// How many reasons a message repeats.
const REASONS_TOLD_MAX_COUNT: usize = 10;

/// Why fields have no values.
fn told(broken: &Violations) -> String {
    let reasons = broken.0.iter().take(REASONS_TOLD_MAX_COUNT);
    let reasons: Vec<&str> = reasons.map(|violation| violation.message.as_str()).collect();
    match broken.0.len() - reasons.len() {
        0 => reasons.join("; "),
        more => format!("{}; and {more} more", reasons.join("; ")),
    }
}

/// What a field asks of the input, as a pointer: the whole of it, if it asks for more than one place.
fn asked_of_input(written: &JsonText) -> String {
    let text: Option<String> = written.parse().ok();
    let expression = text
        .as_deref()
        .and_then(|text| text.strip_prefix("${")?.strip_suffix('}'));
    let path = expression.and_then(|expression| expression.trim().strip_prefix("input."));
    let is_name = |step: &str| {
        !step.is_empty()
            && step
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    match path {
        Some(path) if path.split('.').all(is_name) => format!("/input/{}", path.replace('.', "/")),
        Some(_) | None => "/input".to_owned(),
    }
}

impl Run<'_> {
    /// What expressions see.
    pub(super) fn scope(&self, event: &Event) -> Scope {
        let variables = [
            ("context", self.instance.context_json()),
            ("input", self.instance.input.clone()),
            ("event", event_json(event)),
            ("saga", self.instance.identity_json()),
        ];
        Scope::with_steps(variables, self.steps_left)
    }

    /// The values of fields, all of them in one scope: none sees what another becomes.
    fn values(&mut self, fields: &Values, scope: &Scope) -> Result<Fields, Failure> {
        let values = fields
            .iter()
            .map(|(name, template)| Ok((name.clone(), self.value(name.as_str(), template, scope)?)))
            .collect();
        // What failed has cost its steps too.
        self.spent(scope);
        values
    }

    fn value(&self, name: &str, template: &Template, scope: &Scope) -> Result<JsonText, Failure> {
        let value = template.render(scope, self.limits.input_max_bytes);
        value.map_err(|(pointer, error)| Failure(format!("{name}{pointer} has no value: {error}")))
    }

    /// Whoever starts it mends all that is missing of its input in one go.
    pub(super) fn make_context(&mut self) -> Result<(), Rejection> {
        let scope = Scope::new([
            ("input", self.instance.input.clone()),
            ("saga", self.instance.identity_json()),
        ]);
        let (mut context, mut broken) = (Fields::new(), Violations::default());
        for (name, template) in &self.definition.context {
            match self.value(name.as_str(), template, &scope) {
                Ok(value) => {
                    context.insert(name.clone(), value);
                }
                Err(Failure(reason)) => {
                    let written = self.definition.definition().context.get(name);
                    broken.add(written.map_or_else(String::new, asked_of_input), reason);
                    // The others would say no more than that.
                    if scope.steps_taken() >= STEPS_MAX {
                        break;
                    }
                }
            }
        }
        self.spent(&scope);
        self.instance.context = context;
        broken.into_result().map_err(|broken| Rejection::CannotStart {
            reason: told(&broken),
            broken,
        })
    }

    pub(super) fn set(&mut self, fields: &Values, scope: &Scope) -> Result<(), Failure> {
        let mut values = self.values(fields, scope)?;
        self.instance.context.append(&mut values);
        self.context_changed();
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
    pub(super) fn register(&mut self, bodies: &[Entry], scope: &Scope) -> Result<(), Failure> {
        let tasks = self.drafts(bodies, scope)?;
        self.push(tasks);
        Ok(())
    }

    /// It tells the number of the first.
    fn push(&mut self, tasks: Vec<TaskDraft>) -> Option<u32> {
        let mut first = None;
        for task in tasks {
            let number = self.number();
            first.get_or_insert(number);
            self.instance.stack.push(Undo { number, task });
        }
        first
    }

    pub(super) fn number(&mut self) -> u32 {
        self.instance.last_number += 1;
        self.instance.last_number
    }

    fn drafts(&mut self, bodies: &[Entry], scope: &Scope) -> Result<Vec<TaskDraft>, Failure> {
        let drafts = bodies.iter().map(|body| {
            let draft = self.draft(body, scope)?;
            self.made_to_undo(draft.bytes())?;
            Ok(draft)
        });
        drafts.collect()
    }

    /// A task with the values of its expressions, by the rules of a create.
    fn draft(&mut self, body: &Entry, scope: &Scope) -> Result<TaskDraft, Failure> {
        let failed = |broken: Violations| {
            let name = &body.draft.name;
            Failure(format!("the task {name} cannot be made: {}", in_a_line(&broken)))
        };
        let rendered = body.render(|| scope, self.limits.input_max_bytes).map_err(failed);
        self.spent(scope);
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

    pub(super) fn issue_all(&mut self, actions: &[Action], scope: &Scope) -> Result<(), Failure> {
        actions.iter().try_for_each(|action| match action {
            Action::Task(task) => self.issue(task, scope),
            Action::Saga(child) => self.start_child(child, scope),
        })
    }

    fn issue(&mut self, task: &TaskAction, scope: &Scope) -> Result<(), Failure> {
        match &task.reach {
            Reach::Once { raises } => self.issue_one(task, scope, LiveEnd::Raises(raises.clone())),
            Reach::ForEach { items, join, raises } => self.issue_each(task, scope, items, join, raises),
        }
    }

    fn issue_one(&mut self, task: &TaskAction, scope: &Scope, end: LiveEnd) -> Result<(), Failure> {
        let draft = self.draft(&task.body, scope)?;
        self.made(draft.bytes())?;
        let compensation = self.drafts(&task.compensation, scope)?;
        let may_be_unheard = match &end {
            LiveEnd::Raises(events) => events.otherwise.failure.is_none(),
            LiveEnd::Joins { .. } => false,
        };
        let live = Live {
            compensation,
            armed: None,
            end,
            task: may_be_unheard.then(|| Box::new(draft.clone())),
        };
        self.issue_draft(draft, live);
        Ok(())
    }

    fn issue_draft(&mut self, draft: TaskDraft, live: Live) {
        let number = self.number();
        self.instance.live.insert(number, live);
        self.effects.push(Effect::IssueTask {
            number,
            purpose: Purpose::Forward,
            task: Box::new(draft),
        });
    }

    /// Issues a task that failed once more, under another number: the end of the first has been taken.
    pub(super) fn issue_again(&mut self, number: u32, live: &Live) -> Result<(), Untaken> {
        let draft = live.task.as_deref().ok_or(Rejection::TaskIsOver { number })?;
        self.bound_live()?;
        self.issue_draft(draft.clone(), live.clone());
        Ok(())
    }

    fn issue_each(
        &mut self,
        task: &TaskAction,
        scope: &Scope,
        items: &Template,
        join: &Join,
        raises: &FailureEvents,
    ) -> Result<(), Failure> {
        let list = self.value("for_each", items, scope);
        self.spent(scope);
        let list = list?;
        let entries: Vec<&RawValue> = list
            .parse()
            .map_err(|_| Failure("for_each must have a list as its value".to_owned()))?;
        if entries.len() > ITEMS_MAX {
            let message = format!(
                "for_each goes through {} entries, and may through {ITEMS_MAX}",
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
            let item = JsonText::trusted(entry.get());
            let scope = scope.with([("item", item), ("index", JsonText::trusted(index.to_string()))]);
            self.issue_one(task, &scope, LiveEnd::Joins { join: number, index })?;
        }
        Ok(())
    }

    fn start_child(&mut self, child: &ChildSaga, scope: &Scope) -> Result<(), Failure> {
        let number = self.number();
        let correlation_id = match &child.correlation_id {
            Some(template) => self.value("correlation_id", template, scope),
            None => Ok(text(&format!("{}/{number}", self.instance.id))),
        };
        let input = match &child.input {
            Some(template) => self.value("input", template, scope),
            // As where a caller gives none.
            None => Ok(JsonText::trusted("{}")),
        };
        self.spent(scope);
        let (correlation_id, input) = (correlation_id?, input?);
        self.made(input.len())?;
        let correlation_id: String = correlation_id
            .parse()
            .map_err(|_| Failure("the correlation_id of a child saga must be a text".to_owned()))?;
        if !is_reference(&correlation_id) {
            return Err(Failure(format!(
                "the correlation_id of a child saga {}",
                reference_rule()
            )));
        }
        let live = Live {
            compensation: self.drafts(&child.compensation, scope)?,
            armed: None,
            end: LiveEnd::Raises(child.raises.clone()),
            task: None,
        };
        self.instance.live.insert(number, live);
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
        if outcome.may_have_done_something() && !self.instance.is_armed(&live) {
            // One that may be issued once more keeps what undoes it.
            let compensation = if live.task.is_some() && !is_planted(Mutant::UndoForgottenWithParked) {
                live.compensation.clone()
            } else {
                std::mem::take(&mut live.compensation)
            };
            live.armed = self.push(compensation);
        }
        Ok(live)
    }

    /// What the end of a forward task means for a saga that runs.
    pub(super) fn ended(&mut self, number: u32, live: Live, outcome: Outcome) {
        match &live.end {
            LiveEnd::Raises(events) => {
                let name = match &outcome {
                    Outcome::Succeeded { .. } => events.success.as_ref(),
                    Outcome::Unsuccessful { error, .. } => events.otherwise.of(error.kind),
                };
                match (name.cloned(), outcome) {
                    (Some(name), Outcome::Succeeded { output }) => self.raise_end(number, name, output, false),
                    (Some(name), Outcome::Unsuccessful { error, .. }) => {
                        self.raise_end(number, name, error.as_seen(), true);
                    }
                    (None, Outcome::Succeeded { .. }) => {}
                    (None, Outcome::Unsuccessful { error, .. }) => {
                        let live = Box::new(live);
                        self.nobody_hears(number, Cause::Task { number, live }, &error.message);
                    }
                }
            }
            LiveEnd::Joins { join, index } => self.join(*join, *index, outcome),
        }
    }

    fn raise_end(&mut self, number: u32, name: EventName, data: JsonText, is_failure: bool) {
        let id = format!("task/{number}");
        let event = Event { id, name, data };
        self.raised.push_back(Raised { event, is_failure });
    }

    pub(super) fn nobody_hears(&mut self, number: u32, cause: Cause, message: &str) {
        let failure = Failure(format!("task {number} failed, and raises nothing then: {message}"));
        self.park(cause, failure);
    }
}

impl Outcome {
    /// Whether it succeeded, or nobody knows how far it came. What only its output was refused of has been done.
    fn may_have_done_something(&self) -> bool {
        match self {
            Self::Succeeded { .. } => true,
            Self::Unsuccessful { error, may_have_run } => {
                (*may_have_run && !is_planted(Mutant::DoubtNotUndone)) || error.kind == ErrorKind::OutputNotStorable
            }
        }
    }
}

impl FailureEvents {
    /// What an end of this kind raises.
    pub(super) fn of(&self, kind: ErrorKind) -> Option<&EventName> {
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

pub(super) fn event_json(event: &Event) -> JsonText {
    let (id, name) = (json!(event.id), json!(event.name.as_str()));
    JsonText::trusted(format!("{{\"id\":{id},\"name\":{name},\"data\":{}}}", event.data))
}

fn text(text: &str) -> JsonText {
    JsonText::trusted(json!(text).to_string())
}
