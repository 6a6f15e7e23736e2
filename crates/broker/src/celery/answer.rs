//! What a Celery worker says of a task.

use std::borrow::Cow;

use orchestratum_core::JsonText;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Reply, TooLarge};

/// Where a task is. Any but the first is the last word, and the first last word counts: one that was sent twice has two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Begun, to be tried again by Celery itself, or in a state of the application's own.
    UnderWay,
    Success(JsonText),
    Failure(Failure),
    /// Somebody ended it, or kept it from beginning; why, in Celery's words: `terminated`, `revoked`, `expired`.
    Revoked(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name of the exception.
    pub exception: String,
    pub message: String,
    pub traceback: Option<String>,
}

/// It cannot be told what the worker says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it is `{0}`, not `application/json`: the application's `result_serializer` must be `json`")]
    NotJson(String),
    #[error("it is none of Celery's: {0}")]
    Malformed(String),
    #[error("its result {0}")]
    NotStorable(orchestratum_core::InvalidJson),
    #[error("it {0}")]
    TooLarge(TooLarge),
}

#[derive(Deserialize)]
struct Body {
    status: String,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    traceback: Option<String>,
}

/// An exception, as Celery writes it for others than Python.
#[derive(Deserialize)]
struct Exception {
    exc_type: String,
    #[serde(default)]
    exc_message: Option<Box<RawValue>>,
}

impl Answer {
    /// # Errors
    /// [`Unreadable`]
    pub fn read(reply: &Reply) -> Result<Self, Unreadable> {
        if let Some(other) = reply.content_type.as_deref().filter(|kind| *kind != "application/json") {
            return Err(Unreadable::NotJson(other.to_owned()));
        }
        let malformed = |error: serde_json::Error| Unreadable::Malformed(error.to_string());
        let body: Body = serde_json::from_slice(&reply.body).map_err(malformed)?;
        let result = body.result.as_deref().map_or("null", RawValue::get);
        match body.status.as_str() {
            "SUCCESS" => JsonText::new(result)
                .map(Self::Success)
                .map_err(Unreadable::NotStorable),
            "FAILURE" => Ok(Self::Failure(failure(result, body.traceback))),
            "REVOKED" => Ok(Self::Revoked(failure(result, None).message)),
            _ => Ok(Self::UnderWay),
        }
    }
}

fn failure(result: &str, traceback: Option<String>) -> Failure {
    let Ok(exception) = serde_json::from_str::<Exception>(result) else {
        return Failure {
            exception: "Exception".to_owned(),
            message: result.to_owned(),
            traceback,
        };
    };
    let message = exception.exc_message.as_deref().map_or("", RawValue::get);
    Failure {
        exception: exception.exc_type,
        message: in_words(message).into_owned(),
        traceback: traceback.filter(|traceback| !traceback.trim().is_empty()),
    }
}

/// The arguments of an exception, which are one text more often than not.
fn in_words(arguments: &str) -> Cow<'_, str> {
    if let Ok(text) = serde_json::from_str::<String>(arguments) {
        return Cow::Owned(text);
    }
    match serde_json::from_str::<[String; 1]>(arguments) {
        Ok([text]) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(arguments),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(body: &str) -> Result<Answer, Unreadable> {
        read_as("application/json", body)
    }

    fn read_as(content_type: &str, body: &str) -> Result<Answer, Unreadable> {
        Answer::read(&Reply {
            content_type: Some(content_type.to_owned()),
            headers: BTreeMap::new(),
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn a_result_stays_as_it_was_written() {
        let body = r#"{"task_id": "a-1", "status": "SUCCESS", "result": {"b": 1.50, "a": [1e2]}, "traceback": null, "children": []}"#;
        let expected = JsonText::new(r#"{"b": 1.50, "a": [1e2]}"#).expect("JSON");
        assert_eq!(read(body), Ok(Answer::Success(expected)));
        assert_eq!(read(r#"{"status": "SUCCESS"}"#), Ok(Answer::Success(JsonText::null())));
    }

    #[test]
    fn a_failure_has_its_exception_and_its_traceback() {
        let body = r#"{"status": "FAILURE", "traceback": "Traceback …\nValueError: boom\n",
                       "result": {"exc_type": "ValueError", "exc_message": ["boom"], "exc_module": "builtins"}}"#;
        let Ok(Answer::Failure(failure)) = read(body) else {
            panic!("a failure")
        };
        assert_eq!(
            (failure.exception.as_str(), failure.message.as_str()),
            ("ValueError", "boom")
        );
        assert!(failure.traceback.is_some_and(|traceback| traceback.ends_with("boom\n")));
        for (arguments, expected) in [
            (r#""a""#, "a"),
            (r#"["a", 1]"#, r#"["a", 1]"#),
            ("[]", "[]"),
            ("null", ""),
        ] {
            let body = format!(r#"{{"status": "FAILURE", "result": {{"exc_type": "E", "exc_message": {arguments}}}}}"#);
            let Ok(Answer::Failure(failure)) = read(&body) else {
                panic!("a failure")
            };
            assert_eq!((failure.message.as_str(), failure.traceback), (expected, None));
        }
        let Ok(Answer::Failure(odd)) = read(r#"{"status": "FAILURE", "result": "odd"}"#) else {
            panic!("a failure")
        };
        assert_eq!(odd.message, "\"odd\"");
    }

    #[test]
    fn what_is_not_over_is_under_way() {
        for status in ["STARTED", "RETRY", "PENDING", "RECEIVED", "HALFWAY"] {
            let body = format!(r#"{{"status": "{status}", "result": {{"pid": 5, "hostname": "w1"}}}}"#);
            assert_eq!(read(&body), Ok(Answer::UnderWay), "{status}");
        }
        let revoked =
            r#"{"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["terminated"]}}"#;
        assert_eq!(read(revoked), Ok(Answer::Revoked("terminated".to_owned())));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_cure() {
        let pickled = read_as("application/x-python-serialize", "\u{80}");
        assert!(
            pickled
                .expect_err("it is none")
                .to_string()
                .contains("`result_serializer` must be `json`")
        );
        assert!(matches!(
            read(r#"{"status": "SUCCESS", "result": NaN}"#),
            Err(Unreadable::Malformed(_))
        ));
        assert!(matches!(read("[]"), Err(Unreadable::Malformed(_))));
        assert!(matches!(
            read(r#"{"status": "SUCCESS", "result": "\u0000"}"#),
            Err(Unreadable::NotStorable(_))
        ));
    }
}
