//! Tasks and child sagas: what is started, and what its end raises.

use std::collections::BTreeMap;

use super::definition::unnamed;
use super::reader::{At, Object, Reader};
use crate::JsonText;
use crate::saga::definition::{
    Action, ChildSaga, Events, FailureEvents, Join, OnPartialFailure, Reach, TaskAction, TaskBody,
};
use crate::saga::names::EventName;

/// What stands for an event that cannot be read. No rule speaks of it: the fault is told, and the rest is looked at all the same.
pub(in crate::saga) const UNREAD_EVENT: &str = "-unread-";

pub(super) fn unread_event() -> EventName {
    EventName::new(UNREAD_EVENT).expect("a name")
}

/// What a create takes, without an id. That each is what it must be is checked where follow-ups are: here only their names count,
/// to tell them from what a task of a saga has beside, and to say what was meant where one is written wrongly.
const TASK_FIELDS: [&str; 21] = [
    "name",
    "description",
    "input",
    "target",
    "priority",
    "ttl_seconds",
    "timeout_seconds",
    "max_retries",
    "max_losses",
    "backoff",
    "scheduled_at",
    "delay_seconds",
    "labels",
    "limits",
    "concurrency",
    "rate",
    "unique",
    "on_success",
    "on_failure",
    "on_cancel",
    "on_expire",
];

/// What a task of a saga has beside.
const ACTION_FIELDS: [&str; 4] = ["raises", "compensation", "for_each", "join"];

const CHILD_FIELDS: [&str; 5] = ["saga", "correlation_id", "input", "compensation", "raises"];

const EVENT_FIELDS: [&str; 4] = ["success", "failure", "cancelled", "expired"];

const FAILURE_FIELDS: [&str; 3] = ["failure", "cancelled", "expired"];

const JOIN_FIELDS: [&str; 2] = ["raises", "on_partial_failure"];

impl Reader {
    /// A task, or where it names one, a saga.
    pub(super) fn action(&mut self, at: &At<'_>) -> Option<Action> {
        let object = self.map(at)?;
        if object.field("saga").is_some() && object.field("name").is_none() {
            return self.child(at).map(Action::Saga);
        }
        let known: Vec<&str> = TASK_FIELDS.iter().chain(&ACTION_FIELDS).copied().collect();
        self.object(at, "a task of a saga", &known)?;
        let compensation = self.compensation(&object);
        let reach = match (object.field("for_each"), object.field("join")) {
            (None, None) => self.once(&object),
            (None, Some(join)) => {
                self.fault(&join, "is for tasks with for_each");
                self.once(&object)
            }
            (Some(items), _) => self.for_each(&object, &items),
        };
        let body = self.body(&object);
        Some(Action::Task(TaskAction {
            body: body?,
            compensation,
            reach,
        }))
    }

    fn once(&mut self, object: &Object<'_>) -> Reach {
        let raises = object.field("raises").map(|at| self.events(&at));
        Reach::Once {
            raises: raises.unwrap_or_default(),
        }
    }

    fn for_each(&mut self, object: &Object<'_>, items: &At<'_>) -> Reach {
        let items = self.text(items);
        let join = self.required(object, "join").and_then(|at| self.join(&at));
        let raises = object.field("raises").map(|at| {
            // Checked with the others, so that the message can say where a success of all goes.
            if let Some(success) = self.map(&at).and_then(|events| events.field("success")) {
                self.fault(
                    &success,
                    "is not for tasks with for_each: join.raises is raised when all have ended",
                );
            }
            self.events(&at).otherwise
        });
        Reach::ForEach {
            items: items.unwrap_or_else(|| "${ [] }".to_owned()),
            join: join.unwrap_or_else(|| Join {
                on_partial_failure: OnPartialFailure::default(),
                raises: unread_event(),
            }),
            raises: raises.unwrap_or_default(),
        }
    }

    fn join(&mut self, at: &At<'_>) -> Option<Join> {
        let object = self.object(at, "join", &JOIN_FIELDS)?;
        let policies = [
            ("fail", OnPartialFailure::Fail),
            ("continue", OnPartialFailure::Continue),
        ];
        let on_partial_failure = self.word(object.field("on_partial_failure"), &policies);
        let raises = self.required(&object, "raises").and_then(|at| self.name(&at));
        Some(Join {
            on_partial_failure,
            raises: raises.unwrap_or_else(unread_event),
        })
    }

    fn events(&mut self, at: &At<'_>) -> Events {
        let Some(object) = self.object(at, "raises", &EVENT_FIELDS) else {
            return Events::default();
        };
        let mut event = |name: &str| object.field(name).and_then(|at| self.name(&at));
        let success = event("success");
        let [failure, cancelled, expired] = FAILURE_FIELDS.map(&mut event);
        Events {
            success,
            otherwise: FailureEvents {
                failure,
                cancelled,
                expired,
            },
        }
    }

    fn child(&mut self, at: &At<'_>) -> Option<ChildSaga> {
        let object = self.object(at, "a child saga", &CHILD_FIELDS)?;
        let saga = self.required(&object, "saga").and_then(|at| self.name(&at));
        let correlation_id = self.source(object.field("correlation_id"));
        let input = object.field("input").and_then(|at| self.json(&at));
        let compensation = self.compensation(&object);
        let raises = object.field("raises").map(|at| self.events(&at));
        Some(ChildSaga {
            saga: saga.unwrap_or_else(unnamed),
            correlation_id,
            input,
            compensation,
            raises: raises.unwrap_or_default(),
        })
    }

    /// A task that undoes something. Nothing undoes it, and its end raises nothing: that is the stack's affair.
    pub(super) fn undo(&mut self, at: &At<'_>) -> Option<TaskBody> {
        let object = self.object(at, "a compensation", &TASK_FIELDS)?;
        self.body(&object)
    }

    /// The fields that are the task's own.
    fn body(&mut self, object: &Object<'_>) -> Option<TaskBody> {
        let mut fields = BTreeMap::new();
        if self.required(object, "name").is_none() {
            fields.insert("name".to_owned(), JsonText::trusted("\"unnamed\""));
        }
        for (name, _, at) in object.fields() {
            if TASK_FIELDS.contains(&name) && (!at.is_null() || name == "input") {
                fields.insert(name.to_owned(), self.json(&at)?);
            }
        }
        Some(TaskBody::new(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Entry;

    #[test]
    fn a_task_of_a_saga_has_the_fields_of_a_create() {
        let json = JsonText::new(r#"{"no_field": 1}"#).expect("JSON");
        let broken = Entry::read(&json, &[]).expect_err("there is no such field");
        let message = &broken.0[0].message;
        let (_, fields) = message.split_once("expected one of ").expect("all are named");
        let fields: Vec<&str> = fields.split(", ").map(|name| name.trim_matches('`')).collect();
        assert_eq!(fields, TASK_FIELDS);
    }
}
