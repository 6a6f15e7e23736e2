//! What came back.

use std::collections::BTreeMap;

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;

use crate::rabbitmq::shallow::HEADERS_DEPTH_MAX;

/// A message from the queue for replies.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub content_type: Option<String>,
    pub headers: BTreeMap<String, Value>,
    pub body: Vec<u8>,
}

/// Names the answer of a program that is asked by remote control, where others have a correlation id.
const TICKET: &str = "ticket";

/// A reply of which only that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has more than {most} bytes")]
pub struct TooLarge {
    pub most: usize,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The broker has lost the queue for replies: if one was in it, or comes to it, nobody gets it.
    #[error("is lost with the queue for replies")]
    Lost,
}

impl Reply {
    /// What is larger is not kept: many may wait for whoever reads them.
    pub(super) fn of(delivery: Delivery, most: usize) -> Result<Self, TooLarge> {
        if delivery.data.len() > most {
            return Err(TooLarge { most });
        }
        let properties = &delivery.properties;
        let headers = properties.headers().iter().flat_map(FieldTable::inner);
        // The table itself is the first level.
        let shown = headers.map(|(name, value)| (name.to_string(), json(value, 1)));
        Ok(Self {
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            headers: shown.collect(),
            body: delivery.data,
        })
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

/// A header as JSON. What is none of its kinds becomes the text it is shown as, and what lies too deep is left out.
fn json(value: &AMQPValue, depth: usize) -> Value {
    match value {
        AMQPValue::ByteArray(_) | AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth >= HEADERS_DEPTH_MAX => {
            Value::Null
        }
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
        AMQPValue::FieldArray(values) => {
            let entries = values.as_slice().iter();
            entries.map(|value| json(value, depth + 1)).collect()
        }
        AMQPValue::FieldTable(values) => {
            let entries = values.inner().iter();
            let named = |(name, value): (&ShortString, &AMQPValue)| (name.to_string(), json(value, depth + 1));
            Value::Object(entries.map(named).collect())
        }
    }
}
