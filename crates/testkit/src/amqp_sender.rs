//! Somebody else's program at a broker: sends messages and knows that they have arrived.

use anyhow::{Context, bail};
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Queue};

/// A connection of its own, which ends when this is dropped. What it sends is confirmed.
#[derive(Debug)]
pub struct AmqpSender {
    channel: Channel,
    /// Its channels end with it.
    connection: Connection,
}

impl AmqpSender {
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        // Another test of the same process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .context("the broker is up")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, connection })
    }

    /// Sends one message, and waits until the broker has it: `false` if there is no queue for it.
    pub async fn send(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        message_id: Option<&str>,
    ) -> anyhow::Result<bool> {
        let properties = BasicProperties::default();
        let properties = match message_id {
            Some(id) => properties.with_message_id(id.into()),
            None => properties,
        };
        self.send_with(exchange, routing_key, body, properties).await
    }

    /// Likewise, with what tells of the message.
    ///
    /// # Errors
    /// The broker is away, or did not confirm it.
    pub async fn send_with(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> anyhow::Result<bool> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let sending = self
            .channel
            .basic_publish(exchange.into(), routing_key.into(), options, body, properties)
            .await?;
        match sending.await? {
            Confirmation::Ack(returned) => Ok(returned.is_none()),
            other => bail!("it was not confirmed: {other:?}"),
        }
    }

    /// Takes the body of the first message of a queue, if there is one.
    pub async fn take(&self, queue: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.take_whole(queue).await?.map(|message| message.data))
    }

    /// Takes the first message of a queue with all that it has.
    pub async fn take_whole(&self, queue: &str) -> anyhow::Result<Option<Delivery>> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await?;
        Ok(got.map(|message| message.delivery))
    }

    /// How many messages of a queue nobody has been given yet.
    pub async fn waiting(&self, queue: &str) -> anyhow::Result<u32> {
        Ok(self.queue(queue).await?.message_count())
    }

    /// How many consume a queue.
    pub async fn consumers(&self, queue: &str) -> anyhow::Result<u32> {
        Ok(self.queue(queue).await?.consumer_count())
    }

    /// On a channel of its own, which ends where there is no such queue.
    async fn queue(&self, queue: &str) -> anyhow::Result<Queue> {
        let channel = self.connection.create_channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await?;
        channel.close(200, "OK".into()).await?;
        Ok(declared)
    }
}
