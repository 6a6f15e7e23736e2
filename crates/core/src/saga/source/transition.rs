//! Transitions: when they are taken, what they change, where they go.

use super::reader::{At, Object, Reader};
use super::tree::Value;
use crate::saga::definition::{Candidate, Candidates, Course, Fields, TaskBody};

const FIELDS: [&str; 6] = ["if", "set", "compensation", "tasks", "compensate", "target"];

/// What stands for a transition that cannot be read.
fn unread() -> Candidate {
    Candidate {
        guard: None,
        set: Fields::new(),
        compensation: Vec::new(),
        course: Course::Forward {
            tasks: Vec::new(),
            target: None,
        },
    }
}

impl Reader {
    /// Those of a transition, and how long it waits.
    pub(super) const DELAYED_FIELDS: [&'static str; 7] =
        ["seconds", "if", "set", "compensation", "tasks", "compensate", "target"];

    /// One transition, or a list of them. Where none can be read, the event is taken all the same.
    pub(super) fn candidates(&mut self, at: &At<'_>) -> Option<Candidates> {
        let Value::List(nodes) = &at.node.value else {
            let candidate = self.candidate(at).unwrap_or_else(unread);
            return Candidates::new(vec![candidate]);
        };
        if nodes.is_empty() {
            self.fault(at, "must have at least one transition");
        }
        let candidates = self.list(Some(at.clone()), Self::candidate);
        Candidates::new(candidates).or_else(|| Candidates::new(vec![unread()]))
    }

    pub(super) fn candidate(&mut self, at: &At<'_>) -> Option<Candidate> {
        let object = self.object(at, "a transition", &FIELDS)?;
        Some(self.candidate_of(&object))
    }

    /// Where its target cannot be read, that is told, and the rest is looked at all the same.
    pub(super) fn candidate_of(&mut self, object: &Object<'_>) -> Candidate {
        let guard = self.source(object.field("if"));
        let set = self.fields(object.field("set"));
        let compensation = self.compensation(object);
        let tasks = self.list(object.field("tasks"), Self::action);
        let target_at = object.field("target");
        let has_target = target_at.is_some();
        let target = target_at.and_then(|at| self.name(&at));
        let course = if self.truth(object.field("compensate")) {
            if let Some(at) = object.field("tasks").filter(|_| !tasks.is_empty()) {
                let message = "is not for a transition that compensates: nothing new starts before all is undone";
                self.fault(&at, message);
            }
            if !has_target {
                // The message that it must be given.
                self.required(object, "target");
            }
            match target {
                Some(target) => Course::Compensate { target },
                None => Course::Forward { tasks, target },
            }
        } else {
            Course::Forward { tasks, target }
        };
        Candidate {
            guard,
            set,
            compensation,
            course,
        }
    }

    /// Fields of the context.
    pub(super) fn fields(&mut self, at: Option<At<'_>>) -> Fields {
        self.named(at, Self::json)
    }

    /// The list of tasks that undo something.
    pub(super) fn compensation(&mut self, object: &Object<'_>) -> Vec<TaskBody> {
        self.list(object.field("compensation"), Self::undo)
    }
}
