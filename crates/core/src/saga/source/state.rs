//! States: what they take, how long they last, for whom they wait.

use super::action::unread_event;
use super::reader::{At, Object, Reader};
use super::tree::Value;
use crate::saga::definition::{ActiveState, AwaitInput, DefaultAnswer, Delay, Delayed, End, Reminder, State};
use crate::saga::fault::shown;

const FIELDS: [&str; 8] = [
    "on",
    "after",
    "always",
    "await_input",
    "on_entry",
    "on_exit",
    "final",
    "reason",
];

/// Those of a state that is an end.
const FINAL_FIELDS: [&str; 2] = ["final", "reason"];

const AWAIT_FIELDS: [&str; 5] = ["event", "prompt", "schema", "reminders", "default_after"];

const REMINDER_FIELDS: [&str; 2] = ["seconds", "event"];

const DEFAULT_FIELDS: [&str; 2] = ["seconds", "data"];

/// What stands for a delay that cannot be read.
fn unread() -> Delay {
    Delay::of_seconds(1.0).expect("a delay")
}

impl Reader {
    /// What cannot be read is left out, so that others may still lead there.
    pub(super) fn state(&mut self, at: &At<'_>) -> State {
        let Some(object) = self.object(at, "a state", &FIELDS) else {
            return State::Active(Box::default());
        };
        let reason = object.field("reason");
        let Some(end) = object.field("final").and_then(|at| self.end(&at)) else {
            if let Some(at) = reason {
                self.fault(&at, "is for a final state that has failed");
            }
            return State::Active(Box::new(self.active(&object)));
        };
        for name in FIELDS.iter().filter(|name| !FINAL_FIELDS.contains(name)) {
            if let Some(at) = object.field(name) {
                self.fault(
                    &at,
                    "is not for a final state, which nothing leaves and nothing runs in",
                );
            }
        }
        if let Some(at) = reason.as_ref().filter(|_| end == End::Completed) {
            self.fault(at, "is for a state that has failed");
        }
        State::Final {
            end,
            reason: reason.and_then(|at| self.name(&at)),
        }
    }

    /// `None` for `false`, and for what is told.
    fn end(&mut self, at: &At<'_>) -> Option<End> {
        match &at.node.value {
            Value::Truth(true) => return Some(End::Completed),
            Value::Truth(false) => return None,
            Value::Text(word) if word == "failed" => return Some(End::Failed),
            Value::Text(word) => self.fault(at, format!("must be true or failed, not {:?}", shown(word))),
            Value::Null | Value::Number(_) | Value::List(_) | Value::Object(_) => {
                self.fault(at, "must be true or failed");
            }
        }
        // It was meant to be one: as such, it is not told that nothing leaves it.
        Some(End::Failed)
    }

    fn active(&mut self, object: &Object<'_>) -> ActiveState {
        ActiveState {
            on: self.named(object.field("on"), Self::candidates),
            after: self.list(object.field("after"), Self::delayed),
            always: self.list(object.field("always"), Self::candidate),
            await_input: object.field("await_input").and_then(|at| self.await_input(&at)),
            on_entry: self.list(object.field("on_entry"), Self::action),
            on_exit: self.list(object.field("on_exit"), Self::action),
        }
    }

    fn delayed(&mut self, at: &At<'_>) -> Option<Delayed> {
        let object = self.object(at, "a delayed transition", &Self::DELAYED_FIELDS)?;
        let delay = self.required(&object, "seconds").and_then(|at| self.delay(&at));
        let candidate = self.candidate_of(&object);
        Some(Delayed {
            delay: delay.unwrap_or_else(unread),
            candidate,
        })
    }

    fn await_input(&mut self, at: &At<'_>) -> Option<AwaitInput> {
        let object = self.object(at, "await_input", &AWAIT_FIELDS)?;
        let event = self.required(&object, "event").and_then(|at| self.name(&at));
        let prompt = self.required(&object, "prompt").and_then(|at| self.text(&at));
        let schema = object.field("schema").and_then(|at| {
            self.map(&at)?;
            self.json(&at)
        });
        let reminders = self.list(object.field("reminders"), Self::reminder);
        let default_after = object.field("default_after").and_then(|at| self.default_answer(&at));
        Some(AwaitInput {
            event: event.unwrap_or_else(unread_event),
            prompt: prompt.unwrap_or_default(),
            schema,
            reminders,
            default_after,
        })
    }

    fn reminder(&mut self, at: &At<'_>) -> Option<Reminder> {
        let object = self.object(at, "a reminder", &REMINDER_FIELDS)?;
        let delay = self.required(&object, "seconds").and_then(|at| self.delay(&at));
        let event = self.required(&object, "event").and_then(|at| self.name(&at));
        Some(Reminder {
            delay: delay.unwrap_or_else(unread),
            event: event.unwrap_or_else(unread_event),
        })
    }

    fn default_answer(&mut self, at: &At<'_>) -> Option<DefaultAnswer> {
        let object = self.object(at, "default_after", &DEFAULT_FIELDS)?;
        let delay = self.required(&object, "seconds").and_then(|at| self.delay(&at));
        // An answer may be null.
        let data = object.present("data").or_else(|| self.required(&object, "data"));
        let data = data.and_then(|at| self.json(&at));
        Some(DefaultAnswer {
            delay: delay?,
            data: data?,
        })
    }
}
