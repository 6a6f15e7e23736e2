//! The output of an `amqp` task.

use std::collections::BTreeMap;

use orchestratum_broker::Reply;
use orchestratum_core::{InvalidJson, JsonText};
use serde::Serialize;
use serde_json::Value;

use crate::executors::content::{Body, with_body};

#[derive(Serialize)]
struct Confirmed<'a> {
    message_id: &'a str,
    confirmed: bool,
}

#[derive(Serialize)]
struct Answered<'a> {
    correlation_id: &'a str,
    content_type: Option<&'a str>,
    headers: &'a BTreeMap<String, Value>,
    body: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// The broker has it, and so has a queue.
pub(super) fn confirmed(id: &str) -> Result<JsonText, InvalidJson> {
    JsonText::of(&Confirmed {
        message_id: id,
        confirmed: true,
    })
}

/// What was answered first.
pub(super) fn answered(id: &str, reply: &Reply) -> Result<JsonText, InvalidJson> {
    let content_type = reply.content_type.as_deref();
    with_body(&reply.body, content_type, |body, body_base64| {
        JsonText::of(&Answered {
            correlation_id: id,
            content_type,
            headers: &reply.headers,
            body,
            body_base64,
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn output(content_type: Option<&str>, body: &[u8]) -> Value {
        let reply = Reply {
            content_type: content_type.map(str::to_owned),
            headers: BTreeMap::from([("a".to_owned(), json!(1))]),
            body: body.to_vec(),
        };
        answered("17", &reply).expect("it can be stored").parse().expect("JSON")
    }

    #[test]
    fn a_body_is_json_text_or_base64() {
        let json = output(Some("application/json"), br#"{"b": [1]}"#);
        assert_eq!(
            json,
            json!({"correlation_id": "17", "content_type": "application/json", "headers": {"a": 1}, "body": {"b": [1]}})
        );
        assert_eq!(output(None, b"[1]")["body"], json!("[1]"));
        let bytes = output(Some("application/octet-stream"), &[0xff, 0]);
        assert_eq!((&bytes["body"], &bytes["body_base64"]), (&Value::Null, &json!("/wA=")));
    }
}
