//! The exchange for messages of other programs, and the queue behind it.
//!
//! ```text
//!   whoever ──► exchange PREFIX.inbound (topic) ──► queue PREFIX.inbound ──► one of the processes that read it
//!                                                          │ refused
//!                                                          └──► queue PREFIX.inbound.refused
//! ```
//!
//! Both queues are quorum queues: what was confirmed to its sender survives a restart of the broker. A message is acknowledged when
//! what it asks for is committed; one that is refused for good is kept for whoever looks after it.

use std::sync::Arc;

use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::supervisor::Supervisor;
use super::topology::Topology;
use crate::Error;
use crate::backoff::Backoff;
use crate::health::{Health, describe};
use crate::inbound::{Inbound, InboundSettlement};

/// So many messages are in memory at a time.
pub(super) const PREFETCH: u16 = 200;

/// How many refused messages are kept; the oldest go first.
const REFUSED_KEPT: i32 = 10_000;

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
                    settle: settle.clone(),
                    body: message.data,
                };
                // There is room: the reader holds as many as there may be without a word.
                if reader.send(inbound).await.is_err() {
                    return Ok(());
                }
            }
            Some(settlement) = settlements.recv() => settle_one(link, &channel, settlement).await?,
            () = reader.closed() => return Ok(()),
            () = link.ended() => return Err(Error::Disconnected),
        }
    }
}

async fn settle_one(link: &Link, channel: &Channel, settlement: InboundSettlement) -> Result<(), Error> {
    match settlement {
        InboundSettlement::Taken(tag) => {
            link.within(async { channel.basic_ack(tag, BasicAckOptions::default()).await })
                .await
        }
        InboundSettlement::Refused(tag) => {
            let options = BasicNackOptions {
                requeue: false,
                ..BasicNackOptions::default()
            };
            link.within(async { channel.basic_nack(tag, options).await }).await
        }
    }
}

async fn subscribe(topology: &Topology, link: &Link) -> Result<(Channel, lapin::Consumer), Error> {
    let channel = link.channel().await?;
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
