//! The one constructor of a message that makes a Celery worker run something.

use std::fmt::Display;
use std::time::Duration;

use orchestratum_core::task::CeleryInput;
use orchestratum_core::{TaskId, Timestamp, TraceParent};

use crate::{Header, Message};

const JSON: &str = "application/json";
const UTF_8: &str = "utf-8";

/// What comes after it is our business: no callbacks, no chains, no chords.
const NOTHING_AFTER: &str = r#"{"callbacks":null,"errbacks":null,"chain":null,"chord":null}"#;

/// A call of a task of a Celery application.
#[derive(Debug, Clone, Copy)]
pub struct TaskMessage<'a> {
    pub task: TaskId,
    pub attempt: u32,
    /// For effects that are to happen once, however often it is sent.
    pub idempotency_key: &'a str,
    pub input: &'a CeleryInput,
    pub queue: &'a str,
    /// From then on no worker begins it, by the worker's clock.
    pub expires_at: Timestamp,
    /// How long the broker keeps it, by its own clock.
    pub expires_in: Duration,
    /// After that the worker itself ends it, whatever limit the application gave the task. Without it that one holds.
    pub time_limit: Option<Duration>,
    pub trace_parent: Option<&'a TraceParent>,
}

/// What an attempt is called in Celery. Another for each: workers remember what was revoked, and would not run a second attempt
/// of the same name after a first one that took too long.
pub fn task_id(task: TaskId, attempt: u32) -> String {
    format!("{task}-{attempt}")
}

impl TaskMessage<'_> {
    pub fn message(&self) -> Message {
        let id = task_id(self.task, self.attempt);
        let text = |text: &dyn Display| Header::Text(text.to_string());
        let limit = self
            .time_limit
            .map_or(Header::Nothing, |limit| Header::Integer(whole_seconds(limit)));
        let mut headers = vec![
            ("lang", text(&"py")),
            ("task", text(&self.input.task())),
            ("id", text(&id)),
            ("root_id", text(&id)),
            ("parent_id", Header::Nothing),
            ("group", Header::Nothing),
            ("retries", Header::Integer(0)),
            // Hard and soft: always both.
            ("timelimit", Header::List(vec![limit, Header::Nothing])),
            ("eta", Header::Nothing),
            ("expires", text(&self.expires_at)),
            ("shadow", Header::Nothing),
            // Without it a worker keeps its result to itself.
            ("ignore_result", Header::Boolean(false)),
            ("origin", text(&"orchestratum")),
            ("orchestratum_task_id", text(&self.task)),
            ("orchestratum_attempt", Header::Integer(i64::from(self.attempt))),
            ("idempotency_key", text(&self.idempotency_key)),
        ];
        if let Some(trace_parent) = self.trace_parent {
            headers.push(("traceparent", text(&trace_parent.as_str())));
        }
        Message {
            content_type: Some(JSON),
            content_encoding: Some(UTF_8),
            headers: headers
                .into_iter()
                .map(|(name, header)| (name.to_owned(), header))
                .collect(),
            body: self.body().into_bytes(),
            correlation_id: Some(id),
            wants_reply: true,
            expiration: Some(self.expires_in),
            ..Message::to("", self.queue)
        }
    }

    /// Always three elements.
    fn body(&self) -> String {
        let (args, kwargs) = (self.input.args(), self.input.kwargs());
        format!("[{args},{kwargs},{NOTHING_AFTER}]")
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn message(input: &CeleryInput) -> TaskMessage<'_> {
        TaskMessage {
            task: TaskId(uuid::Uuid::from_u128(0x1234)),
            attempt: 3,
            idempotency_key: "1234-1",
            input,
            queue: "celery",
            expires_at: Timestamp::from_micros(1_800_000_000_500_000),
            expires_in: Duration::from_millis(61_500),
            time_limit: Some(Duration::from_millis(60_001)),
            trace_parent: None,
        }
    }

    #[test]
    fn the_bytes_of_a_message_are_these() {
        let input = r#"{"task": "reports.build", "args": [1.50, "é"], "kwargs": {"month": null}, "queue": "celery"}"#;
        let input = CeleryInput::read(input).expect("it is right");
        let message = message(&input).message();
        assert_eq!(
            String::from_utf8_lossy(&message.body),
            r#"[[1.50, "é"],{"month": null},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]"#
        );
        let id = "00000000-0000-0000-0000-000000001234-3";
        let text = |text: &str| Header::Text(text.to_owned());
        let expected = [
            ("lang", text("py")),
            ("task", text("reports.build")),
            ("id", text(id)),
            ("root_id", text(id)),
            ("parent_id", Header::Nothing),
            ("group", Header::Nothing),
            ("retries", Header::Integer(0)),
            ("timelimit", Header::List(vec![Header::Integer(61), Header::Nothing])),
            ("eta", Header::Nothing),
            ("expires", text("2027-01-15T08:00:00.500Z")),
            ("shadow", Header::Nothing),
            ("ignore_result", Header::Boolean(false)),
            ("origin", text("orchestratum")),
            ("orchestratum_task_id", text("00000000-0000-0000-0000-000000001234")),
            ("orchestratum_attempt", Header::Integer(3)),
            ("idempotency_key", text("1234-1")),
        ];
        let headers: Vec<(&str, Header)> = message
            .headers
            .iter()
            .map(|(name, header)| (name.as_str(), header.clone()))
            .collect();
        assert_eq!(headers, expected);
        let expected = Message {
            content_type: Some("application/json"),
            content_encoding: Some("utf-8"),
            correlation_id: Some(id.to_owned()),
            wants_reply: true,
            matters: true,
            expiration: Some(Duration::from_millis(61_500)),
            headers: message.headers.clone(),
            body: message.body.clone(),
            ..Message::to("", "celery")
        };
        assert!(message == expected, "{message:?}");
    }

    /// Each of these three ends a whole Celery worker, and the next one.
    #[test]
    fn no_input_makes_one_of_the_messages_that_kill_a_worker() {
        let arrays = ["null", "[]", "[[]]", r#"["]", {"a": [1]}]"#, r#"["],{},{}]"]"#];
        let objects = ["null", "{}", r#"{"a": {}}"#, r#"{"}": "],["}"#];
        let limits = [None, Some(Duration::ZERO), Some(Duration::MAX)];
        let mut made = 0;
        for args in arrays {
            for kwargs in objects {
                let input = format!(r#"{{"task": "t", "args": {args}, "kwargs": {kwargs}}}"#);
                let input = CeleryInput::read(&input).expect("it is right");
                for time_limit in limits {
                    let message = TaskMessage {
                        time_limit,
                        ..message(&input)
                    }
                    .message();
                    assert_eq!(message.content_type, Some("application/json"));
                    assert_eq!(message.content_encoding, Some("utf-8"));
                    let body: Vec<Value> = serde_json::from_slice(&message.body).expect("a list");
                    let [args, kwargs, after] = &body[..] else {
                        panic!("{} elements", body.len())
                    };
                    assert!(args.is_array() && kwargs.is_object() && after.is_object(), "{body:?}");
                    let limits = message.headers.iter().find(|(name, _)| name == "timelimit");
                    let Some((_, Header::List(limits))) = limits else {
                        panic!("no limits")
                    };
                    assert_eq!(limits.len(), 2);
                    made += 1;
                }
            }
        }
        assert_eq!(made, 60);
        for args in ["5", "{}", r#""[]""#, "true"] {
            assert!(CeleryInput::read(&format!(r#"{{"task": "t", "args": {args}}}"#)).is_err());
        }
        for kwargs in ["5", "[]", r#""{}""#, "false"] {
            assert!(CeleryInput::read(&format!(r#"{{"task": "t", "kwargs": {kwargs}}}"#)).is_err());
        }
    }
}
