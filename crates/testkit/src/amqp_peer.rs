//! Somebody else's program at a broker: takes messages from a queue, remembers them and answers.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct SeenMessage {
    pub exchange: String,
    pub routing_key: String,
    pub content_type: Option<String>,
    pub message_id: Option<String>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub is_persistent: bool,
    pub headers: Value,
    pub body: String,
}

/// What to answer to a message, as JSON.
pub type Answers = fn(&SeenMessage) -> Vec<Value>;

/// Its connection ends when this is dropped.
#[derive(Debug)]
pub struct AmqpPeer {
    seen: Arc<Mutex<Vec<SeenMessage>>>,
    working: JoinHandle<()>,
}

impl AmqpPeer {
    /// Declares the queue, and where an exchange is named, a topic that gives it everything.
    pub async fn start(url: &str, queue: &str, exchange: Option<&str>, answers: Answers) -> anyhow::Result<Self> {
        // Another test of the same process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .context("the broker is up")?;
        let channel = connection.create_channel().await?;
        let table = FieldTable::default;
        channel
            .queue_declare(queue.into(), QueueDeclareOptions::durable(), table())
            .await?;
        if let Some(exchange) = exchange {
            let options = ExchangeDeclareOptions::default();
            channel
                .exchange_declare(exchange.into(), ExchangeKind::Topic, options, table())
                .await?;
            channel
                .queue_bind(
                    queue.into(),
                    exchange.into(),
                    "#".into(),
                    QueueBindOptions::default(),
                    table(),
                )
                .await?;
        }
        let consumer = channel
            .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), table())
            .await?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let working = tokio::spawn(work(connection, channel, consumer, Arc::clone(&seen), answers));
        Ok(Self { seen, working })
    }

    pub fn seen(&self) -> Vec<SeenMessage> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for AmqpPeer {
    fn drop(&mut self) {
        self.working.abort();
    }
}

async fn work(
    _connection: Connection,
    channel: Channel,
    mut consumer: lapin::Consumer,
    seen: Arc<Mutex<Vec<SeenMessage>>>,
    answers: Answers,
) {
    use futures::StreamExt;
    while let Some(Ok(delivery)) = consumer.next().await {
        let properties = &delivery.properties;
        let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
        let message = SeenMessage {
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            content_type: text(properties.content_type()),
            message_id: text(properties.message_id()),
            correlation_id: text(properties.correlation_id()),
            reply_to: text(properties.reply_to()),
            is_persistent: properties.delivery_mode() == &Some(2),
            headers: headers(properties.headers().as_ref()),
            body: String::from_utf8_lossy(&delivery.data).into_owned(),
        };
        let replies = answers(&message);
        let (reply_to, correlation_id) = (properties.reply_to().clone(), properties.correlation_id().clone());
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        for reply in replies {
            let (Some(reply_to), Some(correlation_id)) = (reply_to.clone(), correlation_id.clone()) else {
                continue;
            };
            let properties = BasicProperties::default()
                .with_content_type("application/json".into())
                .with_correlation_id(correlation_id);
            let body = reply.to_string();
            let options = BasicPublishOptions::default();
            let _ = channel
                .basic_publish("".into(), reply_to, options, body.as_bytes(), properties)
                .await;
        }
        let _ = delivery.acker.ack(BasicAckOptions::default()).await;
    }
}

fn headers(table: Option<&FieldTable>) -> Value {
    let entries = table.into_iter().flat_map(FieldTable::inner);
    let shown = entries.map(|(name, value)| {
        let value = match value {
            AMQPValue::LongString(text) => Value::from(text.to_string()),
            other => Value::from(format!("{other:?}")),
        };
        (name.to_string(), value)
    });
    Value::Object(shown.collect::<Map<_, _>>())
}
