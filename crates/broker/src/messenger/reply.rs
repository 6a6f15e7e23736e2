//! What came back.

use std::collections::BTreeMap;

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;

/// A message from the queue for replies.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub content_type: Option<String>,
    pub headers: BTreeMap<String, Value>,
    pub body: Vec<u8>,
}

/// Names the answer of a program that is asked by remote control, where others have a correlation id.
const TICKET: &str = "ticket";

impl Reply {
    pub(super) fn of(delivery: Delivery) -> Self {
        let properties = &delivery.properties;
        let headers = properties.headers().iter().flat_map(FieldTable::inner);
        Self {
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            headers: headers.map(|(name, value)| (name.to_string(), json(value))).collect(),
            body: delivery.data,
        }
    }
}

/// Whom it answers.
pub(super) fn correlation_id(delivery: &Delivery) -> Option<String> {
    let properties = &delivery.properties;
    if let Some(id) = properties.correlation_id() {
        return Some(id.to_string());
    }
    match properties.headers().as_ref()?.inner().get(TICKET)? {
        AMQPValue::LongString(ticket) => Some(ticket.to_string()),
        AMQPValue::ShortString(ticket) => Some(ticket.to_string()),
        _ => None,
    }
}

/// A header as JSON. What is none of its kinds becomes the text it is shown as.
fn json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Void => Value::Null,
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::ShortShortInt(value) => Value::from(*value),
        AMQPValue::ShortShortUInt(value) => Value::from(*value),
        AMQPValue::ShortInt(value) => Value::from(*value),
        AMQPValue::ShortUInt(value) => Value::from(*value),
        AMQPValue::LongInt(value) => Value::from(*value),
        AMQPValue::LongUInt(value) => Value::from(*value),
        AMQPValue::LongLongInt(value) => Value::from(*value),
        AMQPValue::Timestamp(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(*value),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(value) => Value::from(format!("{value:?}")),
        AMQPValue::ShortString(text) => Value::from(text.as_str()),
        AMQPValue::LongString(text) => Value::from(String::from_utf8_lossy(text.as_bytes())),
        AMQPValue::ByteArray(bytes) => Value::from(String::from_utf8_lossy(bytes.as_slice())),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json).collect(),
        AMQPValue::FieldTable(values) => {
            let entries = values.inner().iter();
            let named = |(name, value): (&ShortString, &AMQPValue)| (name.to_string(), json(value));
            Value::Object(entries.map(named).collect())
        }
    }
}
