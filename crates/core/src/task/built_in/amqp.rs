//! What an `amqp` task takes: a message, where it goes, and whether somebody answers it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

use super::fields::{Fields, Names};
use super::names;
use crate::json::JsonText;
use crate::task::rules::Violations;

const HEADERS_MAX: usize = 100;
const HEADER_NAME_MAX_BYTES: usize = 100;
const HEADER_MAX_BYTES: usize = 8 * 1024;
/// All properties of a message travel in one frame, which brokers take up to 128 KiB of.
const HEADERS_MAX_BYTES: usize = 32 * 1024;

/// RabbitMQ sends copies of a message to what these name, whatever its routing key is.
const COPIES: [&str; 2] = ["CC", "BCC"];

#[derive(Clone, PartialEq, Eq)]
pub struct AmqpInput {
    /// Empty: the default exchange, by which a message goes to the queue that its routing key names.
    pub exchange: String,
    pub routing_key: String,
    pub body: AmqpBody,
    pub headers: BTreeMap<String, String>,
    pub reply: AmqpReply,
}

#[derive(Clone, PartialEq, Eq)]
pub enum AmqpBody {
    Empty,
    /// Sent as it is.
    Text(String),
    /// Sent as `application/json`.
    Json(JsonText),
}

/// When the task is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmqpReply {
    /// When the broker has taken the message.
    None,
    /// When somebody has answered it, to a queue of the worker.
    Queue,
}

impl AmqpInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        const FIELDS: &[&str] = &["exchange", "routing_key", "body", "headers", "reply"];
        let mut fields = Fields::of(input, &[FIELDS]);
        // The default exchange goes by the routing key alone.
        if fields.is_blank("exchange") && fields.is_blank("routing_key") {
            fields.lack("must have an exchange or a routing_key");
        }
        let read = Self {
            exchange: names::optional(&mut fields, "exchange", 0).unwrap_or_default(),
            routing_key: names::optional(&mut fields, "routing_key", 0).unwrap_or_default(),
            body: fields.value("body").map_or(AmqpBody::Empty, body),
            headers: headers(&mut fields),
            reply: reply(&mut fields),
        };
        fields.finish(read)
    }
}

/// A text is sent as it is: whoever means a JSON text writes its quotes, too.
fn body(value: &RawValue) -> AmqpBody {
    serde_json::from_str(value.get()).map_or_else(|_| AmqpBody::Json(JsonText::trusted(value.get())), AmqpBody::Text)
}

fn headers(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    const FIELD: &str = "headers";
    let names = Names {
        count_max: HEADERS_MAX,
        is_allowed: is_header_name,
        rule: || {
            format!(
                "is not allowed: a name has 1 to {HEADER_NAME_MAX_BYTES} bytes and no control character, and is not CC or BCC"
            )
        },
    };
    let headers = fields.texts_by_name(FIELD, &names);
    for (name, value) in &headers {
        if value.len() > HEADER_MAX_BYTES {
            fields.refuse_entry(FIELD, name, &format!("must have at most {HEADER_MAX_BYTES} bytes"));
        }
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HEADERS_MAX_BYTES {
        fields.refuse(FIELD, &format!("must have at most {HEADERS_MAX_BYTES} bytes together"));
    }
    headers
}

fn is_header_name(name: &str) -> bool {
    (1..=HEADER_NAME_MAX_BYTES).contains(&name.len())
        && !name.contains(char::is_control)
        && !COPIES.iter().any(|copies| name.eq_ignore_ascii_case(copies))
}

fn reply(fields: &mut Fields<'_>) -> AmqpReply {
    match fields.text("reply").as_deref() {
        None | Some("none") => AmqpReply::None,
        Some("queue") => AmqpReply::Queue,
        Some(_) => {
            fields.refuse("reply", "must be none or queue");
            AmqpReply::None
        }
    }
}

/// Without what may be secret: headers and the body.
impl fmt::Debug for AmqpInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpInput")
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .field("body", &self.body)
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AmqpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Json(json) => write!(f, "Json({} bytes)", json.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> AmqpInput {
        AmqpInput::read(input).unwrap_or_else(|broken| panic!("{input}: {broken:?}"))
    }

    fn told(input: &str) -> Vec<String> {
        let broken = AmqpInput::read(input).expect_err(input);
        broken.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_message_needs_no_more_than_a_place_to_go_to() {
        let input = read(r#"{"routing_key": "orders"}"#);
        assert_eq!((input.exchange.as_str(), input.routing_key.as_str()), ("", "orders"));
        assert_eq!((input.body, input.reply), (AmqpBody::Empty, AmqpReply::None));
        assert_eq!(read(r#"{"exchange": "events"}"#).routing_key, "");
        for nowhere in ["{}", r#"{"exchange": ""}"#, r#"{"exchange": null, "routing_key": ""}"#] {
            assert_eq!(told(nowhere), ["must have an exchange or a routing_key"], "{nowhere}");
        }
    }

    #[test]
    fn a_text_is_sent_as_it_is_and_all_else_as_json() {
        let body = |body: &str| read(&format!(r#"{{"exchange": "e", "body": {body}}}"#)).body;
        assert_eq!(body(r#""a\u00e9""#), AmqpBody::Text("aé".to_owned()));
        for json in [r#"{"b": 1.50}"#, "[1]", "5", "false"] {
            assert_eq!(body(json), AmqpBody::Json(JsonText::trusted(json)));
        }
    }

    #[test]
    fn every_broken_rule_is_told_and_no_value_with_it() {
        let input = r#"{"exchange": "31337\n", "routing_key": 31337, "reply": "31337",
                        "headers": {"CC": "31337", "bcc": "31337", "": "31337", "a": 31337, "b": "31337"}}"#;
        let told = told(input);
        let pointers: Vec<&str> = told.iter().filter_map(|told| told.split(' ').next()).collect();
        let expected = [
            "/exchange",
            "/routing_key",
            "/headers/",
            "/headers/CC",
            "/headers/a",
            "/headers/bcc",
            "/reply",
        ];
        assert_eq!(pointers, expected, "{told:?}");
        assert!(!told.join(" ").contains("31337"), "{told:?}");
    }

    #[test]
    fn headers_have_a_size() {
        let one = format!(r#"{{"exchange": "e", "headers": {{"a": "{}"}}}}"#, "a".repeat(8_193));
        assert_eq!(told(&one), ["/headers/a must have at most 8192 bytes"]);
        let several: Vec<String> = (0..5)
            .map(|index| format!(r#""a{index}": "{}""#, "a".repeat(8_000)))
            .collect();
        let several = format!(r#"{{"exchange": "e", "headers": {{{}}}}}"#, several.join(","));
        assert_eq!(told(&several), ["/headers must have at most 32768 bytes together"]);
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let input = r#"{"exchange": "events", "headers": {"a": "31337"}, "body": "31337"}"#;
        let shown = format!("{:?}", read(input));
        assert!(shown.contains("events") && !shown.contains("31337"), "{shown}");
    }
}
