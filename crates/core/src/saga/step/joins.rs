//! Many tasks of one list, and the one event that comes when all have ended.

use serde_json::json;

use super::Effect;
use super::run::{Raised, Run};
use crate::JsonText;
use crate::saga::definition::OnPartialFailure;
use crate::saga::instance::{Cause, Event, Joining, LiveEnd, Outcome};
use crate::saga::mutant::{Mutant, is_planted};
use crate::task::{ErrorCode, ErrorKind, TaskError};
use crate::text::shortened;

/// The most of the message of one of many.
const MESSAGE_MAX_BYTES: usize = 2_000;

/// How many outcomes are gone through in the time in which one thing is copied.
const OUTCOMES_OF_PART: usize = 100;

impl Run<'_> {
    pub(super) fn join(&mut self, number: u32, index: usize, outcome: Outcome) {
        let Some(mut joining) = self.instance.joins.remove(&number) else {
            return;
        };
        self.gone_through += joining.outcomes.len() / OUTCOMES_OF_PART;
        let outcome = bounded(&joining, outcome, self.limits.input_max_bytes);
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
    pub(super) fn joined(&mut self, number: u32, joining: &Joining) {
        let has_failed = joining.has_failed() && joining.join.on_partial_failure == OnPartialFailure::Fail;
        let name = if has_failed {
            joining.raises.of(ErrorKind::Failed).cloned()
        } else {
            Some(joining.join.raises.clone())
        };
        let Some(name) = name else {
            let (failed, all) = (joining.errors().count(), joining.outcomes.len());
            let cause = joining.cause().map_or("", |error| error.message.as_str());
            let message = format!("{failed} of its {all} tasks did not succeed, the first: {cause}");
            self.nobody_hears(number, Cause::Join { number }, &message);
            return;
        };
        let event = Event {
            id: format!("join/{number}"),
            name,
            data: joining.data(),
        };
        if is_planted(Mutant::JoinedTwice) {
            let event = event.clone();
            self.raised.push_back(Raised {
                event,
                is_failure: has_failed,
            });
        }
        self.raised.push_back(Raised {
            event,
            is_failure: has_failed,
        });
    }
}

/// All of them together become the data of one event.
fn bounded(joining: &Joining, outcome: Outcome, most: usize) -> Outcome {
    match outcome {
        Outcome::Succeeded { output } => {
            let others: usize = joining.outcomes.iter().flatten().map(Outcome::bytes).sum();
            if others + output.len() <= most {
                return Outcome::Succeeded { output };
            }
            let message = format!("the outputs of the list must not be larger than {most} bytes together");
            Outcome::Unsuccessful {
                error: TaskError::new(ErrorKind::OutputNotStorable, message),
                may_have_run: true,
            }
        }
        Outcome::Unsuccessful { error, may_have_run } => {
            let message = shortened(&error.message, MESSAGE_MAX_BYTES, "").into_owned();
            Outcome::Unsuccessful {
                error: TaskError::new(error.kind, message).with_code(error.code),
                may_have_run,
            }
        }
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

    /// The first that failed by itself, and was not cancelled because of another; where there is none, the first.
    fn cause(&self) -> Option<&TaskError> {
        let by_itself = self.errors().find(|(_, error)| error.kind != ErrorKind::Cancelled);
        by_itself.or_else(|| self.errors().next()).map(|(_, error)| error)
    }

    /// All outputs in the order of the list, `null` where there is none, and the errors with their places; where there are any, the
    /// message of what began it as that of the whole.
    fn data(&self) -> JsonText {
        let outputs = self.outcomes.iter().map(|outcome| match outcome {
            Some(Outcome::Succeeded { output }) => output.as_str(),
            Some(Outcome::Unsuccessful { .. }) | None => "null",
        });
        let outputs: Vec<&str> = outputs.collect();
        let errors = self.errors().map(|(index, error)| {
            let code = error.code.as_ref().map(ErrorCode::as_str);
            json!({"index": index, "kind": error.kind.as_str(), "message": error.message, "code": code}).to_string()
        });
        let errors: Vec<String> = errors.collect();
        let message = json!(self.cause().map(|error| &error.message));
        let (outputs, errors) = (outputs.join(","), errors.join(","));
        JsonText::trusted(format!(
            "{{\"outputs\":[{outputs}],\"errors\":[{errors}],\"message\":{message}}}"
        ))
    }
}
