//! The exchange for messages of other programs, and the queue behind it.
//!
//! ```text
//!   whoever ──► exchange PREFIX.inbound (topic) ──► queue PREFIX.inbound ──► one of the processes that read it
//!                                                          │ refused
//!                                                          └──► queue PREFIX.inbound.refused
//! ```
//!
//! Both queues are quorum queues: what was confirmed to its sender survives a restart of the broker. A message is acknowledged when
//! what it asks for is committed; one that is refused for good is kept for whoever looks after it, with the reason in a header. It is
//! put there before it is acknowledged: a process that dies in between puts it there twice, and loses none.

use std::sync::Arc;

use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::supervisor::Supervisor;
use super::topology::Topology;
use crate::Error;
use crate::backoff::Backoff;
use crate::health::{Health, describe};
use crate::inbound::{Inbound, InboundSettlement, RefusedInbound};

/// So many messages are in memory at a time.
pub(super) const PREFETCH: u16 = 200;

/// How many refused messages are kept; the oldest go first.
const REFUSED_KEPT: i32 = 10_000;

/// The headers of a refused message: why it was, and the key with which it was sent.
const REASON: &str = "x-refused-reason";
const ROUTING_KEY: &str = "x-refused-routing-key";

/// By these a broker sends a message to other queues as well.
const SENT_ELSEWHERE: [&str; 2] = ["CC", "BCC"];

/// The most of the headers of the sender: all of them must fit into a frame.
const HEADERS_MAX_BYTES: usize = 32 << 10;

const PERSISTENT: u8 = 2;

/// The most of a reason, in characters.
const REASON_MAX_CHARACTERS: usize = 2_000;

/// Its name in the health report.
pub(super) const PART: &str = "inbound messages";

/// Hands messages to a reader until it is gone, over every reconnection.
pub(super) async fn read(
    topology: Topology,
    consuming: Arc<Supervisor>,
    health: Arc<Health>,
    reader: mpsc::Sender<Inbound>,
    closing: CancellationToken,
) {
    let keep_reading = async {
        let mut backoff = Backoff::new();
        loop {
            let link = consuming.connected().await;
            let since = Instant::now();
            let Err(error) = read_on(&topology, &link, &health, &reader).await else {
                return;
            };
            tracing::debug!(error = describe(&error), "the inbound messages of the broker ended");
            health.broken(PART, &error);
            // A lost connection comes back with a pause of its own.
            if !link.has_ended() {
                tokio::time::sleep(backoff.pause_after(since.elapsed())).await;
            }
        }
    };
    tokio::select! {
        () = keep_reading => {}
        () = closing.cancelled() => {}
    }
    health.works(PART);
}

/// Returns without an error when the reader is gone.
async fn read_on(
    topology: &Topology,
    link: &Arc<Link>,
    health: &Health,
    reader: &mpsc::Sender<Inbound>,
) -> Result<(), Error> {
    let (channel, mut messages) = subscribe(topology, link).await?;
    health.works(PART);
    // Of this channel alone: tags of another one mean other messages.
    let (settle, mut settlements) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else {
                    return Err(Error::Cancelled { queue: topology.inbound().to_string() });
                };
                let message = message.map_err(Error::Refused)?;
                let inbound = Inbound {
                    message_id: message.properties.message_id().as_ref().map(ToString::to_string),
                    tag: message.delivery_tag,
                    properties: message.properties,
                    routing_key: message.routing_key.to_string(),
                    settle: settle.clone(),
                    body: message.data,
                };
                // There is room: the reader holds as many as there may be without a word.
                if reader.send(inbound).await.is_err() {
                    return Ok(());
                }
            }
            Some(settlement) = settlements.recv() => settle_one(topology, link, &channel, settlement).await?,
            () = reader.closed() => return Ok(()),
            () = link.ended() => return Err(Error::Disconnected),
        }
    }
}

async fn settle_one(
    topology: &Topology,
    link: &Link,
    channel: &Channel,
    settlement: InboundSettlement,
) -> Result<(), Error> {
    let tag = match settlement {
        InboundSettlement::Taken(tag) => tag,
        InboundSettlement::Refused(refused) => {
            let tag = refused.tag;
            // Whoever sends while the broker takes nothing is not read from either: then it moves the message itself.
            let is_kept = !link.is_blocked()
                && matches!(
                    link.within(keep_refused(topology, channel, *refused)).await?,
                    Confirmation::Ack(None)
                );
            if !is_kept {
                let options = BasicNackOptions {
                    requeue: false,
                    ..BasicNackOptions::default()
                };
                return link.within(async { channel.basic_nack(tag, options).await }).await;
            }
            tag
        }
    };
    link.within(async { channel.basic_ack(tag, BasicAckOptions::default()).await })
        .await
}

/// Puts a message, as it was sent, where refused ones are kept.
async fn keep_refused(topology: &Topology, channel: &Channel, refused: RefusedInbound) -> lapin::Result<Confirmation> {
    let RefusedInbound {
        tag: _,
        body,
        properties,
        routing_key,
        reason,
    } = refused;
    let reason: String = reason.chars().take(REASON_MAX_CHARACTERS).collect();
    let given = properties.headers().clone().unwrap_or_default();
    let mut headers = FieldTable::default();
    // As it is shown it is no smaller than as it is sent.
    if format!("{given:?}").len() <= HEADERS_MAX_BYTES {
        for (name, value) in given.inner() {
            if !SENT_ELSEWHERE.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
    headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
    headers.insert(ROUTING_KEY.into(), AMQPValue::LongString(routing_key.into()));
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = told_again(&properties).with_headers(headers);
    let confirm = channel
        .basic_publish("".into(), topology.inbound_refused(), options, &body, properties)
        .await?;
    confirm.await
}

/// What tells of a message. Not its time to live, for it is kept for a person; nor whom to answer, nor its user, who is not us.
fn told_again(given: &BasicProperties) -> BasicProperties {
    let mut told = BasicProperties::default().with_delivery_mode(PERSISTENT);
    macro_rules! tell {
        ($($property:ident $with:ident),*) => {
            $(if let Some(value) = given.$property().clone() {
                told = told.$with(value);
            })*
        };
    }
    tell!(
        content_type with_content_type, content_encoding with_content_encoding, priority with_priority,
        correlation_id with_correlation_id, message_id with_message_id, timestamp with_timestamp, kind with_type, app_id with_app_id
    );
    told
}

async fn subscribe(topology: &Topology, link: &Link) -> Result<(Channel, lapin::Consumer), Error> {
    let channel = link.channel().await?;
    link.within(channel.confirm_select(ConfirmSelectOptions::default()))
        .await?;
    let exchange = channel.exchange_declare(
        topology.inbound(),
        ExchangeKind::Topic,
        ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        },
        FieldTable::default(),
    );
    link.within(exchange).await?;
    let refused = topology.inbound_refused();
    let mut kept = quorum();
    kept.insert("x-max-length".into(), AMQPValue::LongInt(REFUSED_KEPT));
    link.within(channel.queue_declare(refused.clone(), QueueDeclareOptions::durable(), kept))
        .await?;
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert(
        "x-dead-letter-routing-key".into(),
        AMQPValue::LongString(refused.as_str().into()),
    );
    let queue = topology.inbound();
    link.within(channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments))
        .await?;
    let bind = channel.queue_bind(
        queue.clone(),
        topology.inbound(),
        "#".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    link.within(bind).await?;
    link.within(channel.basic_qos(PREFETCH, BasicQosOptions::default()))
        .await?;
    let consume = channel.basic_consume(
        queue,
        ShortString::default(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let messages = link.within(consume).await?;
    Ok((channel, messages))
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}
