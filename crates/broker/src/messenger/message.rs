//! A message, in the words of whoever sends it.

use std::fmt;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};

use crate::Error;

/// Survives a restart of the broker, with a durable queue.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// The longest that RabbitMQ counts, some 49 days. What lives longer needs no end by the broker.
const EXPIRATION_MAX_MS: u128 = 4_294_967_295;

#[derive(Clone, PartialEq)]
pub struct Message {
    pub exchange: String,
    pub routing_key: String,
    pub content_type: Option<&'static str>,
    pub content_encoding: Option<&'static str>,
    pub headers: Vec<(String, Header)>,
    pub body: Vec<u8>,
    pub message_id: Option<String>,
    pub correlation_id: Option<String>,
    /// Whether the queue for replies is named in it.
    pub wants_reply: bool,
    /// Whether it is kept through a restart of the broker, and is an error where no queue takes it.
    pub matters: bool,
    /// How long it may wait in a queue.
    pub expiration: Option<Duration>,
}

/// What a header may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    Nothing,
    Boolean(bool),
    Integer(i64),
    Text(String),
    List(Vec<Header>),
}

impl Message {
    /// With no more than where it goes.
    pub fn to(exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        Self {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            content_type: None,
            content_encoding: None,
            headers: Vec::new(),
            body: Vec::new(),
            message_id: None,
            correlation_id: None,
            wants_reply: false,
            matters: true,
            expiration: None,
        }
    }

    pub(super) fn properties(&self, reply_queue: &str) -> Result<BasicProperties, Error> {
        let mut properties =
            BasicProperties::default().with_delivery_mode(if self.matters { PERSISTENT } else { TRANSIENT });
        if let Some(content_type) = self.content_type {
            properties = properties.with_content_type(content_type.into());
        }
        if let Some(encoding) = self.content_encoding {
            properties = properties.with_content_encoding(encoding.into());
        }
        if let Some(id) = &self.message_id {
            properties = properties.with_message_id(short(id)?);
        }
        if let Some(id) = &self.correlation_id {
            properties = properties.with_correlation_id(short(id)?);
        }
        if self.wants_reply {
            properties = properties.with_reply_to(short(reply_queue)?);
        }
        let milliseconds = self.expiration.map(|expiration| expiration.as_millis());
        if let Some(milliseconds) = milliseconds.filter(|milliseconds| *milliseconds <= EXPIRATION_MAX_MS) {
            properties = properties.with_expiration(short(&milliseconds.to_string())?);
        }
        if !self.headers.is_empty() {
            let mut headers = FieldTable::default();
            for (name, header) in &self.headers {
                headers.insert(short(name)?, value(header));
            }
            properties = properties.with_headers(headers);
        }
        Ok(properties)
    }
}

/// What AMQP calls a short string: a name.
pub(super) fn short(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| Error::NameTooLong)
}

fn value(header: &Header) -> AMQPValue {
    match header {
        Header::Nothing => AMQPValue::Void,
        Header::Boolean(value) => AMQPValue::Boolean(*value),
        Header::Integer(value) => AMQPValue::LongLongInt(*value),
        Header::Text(text) => AMQPValue::LongString(text.as_str().into()),
        Header::List(list) => {
            let mut values = FieldArray::default();
            for entry in list {
                values.push(value(entry));
            }
            AMQPValue::FieldArray(values)
        }
    }
}

/// Without what may be secret: headers and the body.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .field("correlation_id", &self.correlation_id)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_properties_that_it_names_and_no_others() {
        let plain = Message::to("", "orders").properties("replies").expect("short");
        assert_eq!(plain, BasicProperties::default().with_delivery_mode(PERSISTENT));
        let message = Message {
            wants_reply: true,
            correlation_id: Some("17".to_owned()),
            expiration: Some(Duration::from_millis(1_500)),
            headers: vec![(
                "limits".to_owned(),
                Header::List(vec![Header::Integer(5), Header::Nothing]),
            )],
            ..Message::to("", "orders")
        };
        let properties = message.properties("replies").expect("short");
        assert_eq!(properties.reply_to().as_ref().map(ShortString::as_str), Some("replies"));
        assert_eq!(
            properties.correlation_id().as_ref().map(ShortString::as_str),
            Some("17")
        );
        assert_eq!(properties.expiration().as_ref().map(ShortString::as_str), Some("1500"));
        let headers = properties.headers().clone().expect("there is one");
        let limits = headers.inner().get("limits").expect("it is there");
        assert!(
            matches!(limits, AMQPValue::FieldArray(values) if values.as_slice().len() == 2),
            "{limits:?}"
        );
    }

    #[test]
    fn what_the_broker_cannot_count_is_not_told_to_it() {
        let message = Message {
            expiration: Some(Duration::from_secs(100 * 86_400)),
            ..Message::to("", "orders")
        };
        let properties = message.properties("replies").expect("short");
        assert_eq!(properties.expiration(), &None);
    }

    #[test]
    fn a_name_that_is_too_long_is_an_error_and_no_panic() {
        let message = Message {
            correlation_id: Some("a".repeat(256)),
            ..Message::to("", "orders")
        };
        assert!(matches!(message.properties("replies"), Err(Error::NameTooLong)));
    }
}
