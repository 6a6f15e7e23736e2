//! What a `celery` task takes: which task of a Celery application to call, and with what.

use std::fmt;

use super::fields::Fields;
use super::names;
use crate::json::JsonText;
use crate::task::rules::Violations;

/// There is none that was not read: a message with other arguments than these kills a Celery worker, or is dropped by it
/// without a word.
#[derive(Clone, PartialEq, Eq)]
pub struct CeleryInput {
    task: String,
    args: JsonText,
    kwargs: JsonText,
    queue: Option<String>,
}

impl CeleryInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["task", "args", "kwargs", "queue"]]);
        let read = Self {
            task: task(&mut fields),
            args: fields.raw_array("args").unwrap_or_else(|| JsonText::trusted("[]")),
            kwargs: fields.raw_object("kwargs").unwrap_or_else(|| JsonText::trusted("{}")),
            queue: names::optional(&mut fields, "queue", 1),
        };
        fields.finish(read)
    }

    /// What the application calls it, such as `reports.build`.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// An array.
    pub const fn args(&self) -> &JsonText {
        &self.args
    }

    /// An object.
    pub const fn kwargs(&self) -> &JsonText {
        &self.kwargs
    }

    /// Where it is not named, the worker's settings say.
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }
}

/// Celery's own tasks send messages wherever their arguments say, past what the settings allow.
fn task(fields: &mut Fields<'_>) -> String {
    let task = names::required(fields, "task");
    if task.starts_with("celery.") {
        fields.refuse("task", "must not begin with `celery.`: those are Celery's own");
    }
    task
}

/// Without what may be secret: the arguments.
impl fmt::Debug for CeleryInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CeleryInput")
            .field("task", &self.task)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(input: &str) -> Vec<String> {
        let broken = CeleryInput::read(input).expect_err(input);
        broken.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_but_the_task_has_a_default_and_arguments_stay_as_they_were_written() {
        let plain = CeleryInput::read(r#"{"task": "reports.build", "args": null}"#).expect("it has a task");
        assert_eq!((plain.args.as_str(), plain.kwargs.as_str()), ("[]", "{}"));
        assert_eq!((plain.task.as_str(), plain.queue), ("reports.build", None));
        let full = r#"{"task": "a", "args": [1.50, "é"], "kwargs": {"b": 1e2, "a": null}, "queue": "slow"}"#;
        let full = CeleryInput::read(full).expect("all of it is right");
        assert_eq!(full.args.as_str(), r#"[1.50, "é"]"#);
        assert_eq!(full.kwargs.as_str(), r#"{"b": 1e2, "a": null}"#);
        assert_eq!(full.queue.as_deref(), Some("slow"));
    }

    #[test]
    fn tasks_of_celery_itself_are_refused() {
        assert_eq!(
            told(r#"{"task": "celery.group"}"#),
            ["/task must not begin with `celery.`: those are Celery's own"]
        );
    }

    #[test]
    fn every_broken_rule_is_told_and_no_value_with_it() {
        assert_eq!(told("{}"), ["/task is missing"]);
        assert_eq!(told("[]"), ["must be an object, not an array"]);
        let input = r#"{"task": "a\n31337", "args": {"a": 31337}, "kwargs": [31337], "queue": "", "eta": 31337}"#;
        assert_eq!(
            told(input),
            [
                "/eta is no field of this input, which has task, args, kwargs, queue",
                "/task must have 1 to 255 bytes, and no control character",
                "/args must be an array, not an object",
                "/kwargs must be an object, not an array",
                "/queue must have 1 to 255 bytes, and no control character",
            ]
        );
        let long = format!(r#"{{"task": "{}"}}"#, "a".repeat(256));
        assert_eq!(told(&long).len(), 1);
    }
}
