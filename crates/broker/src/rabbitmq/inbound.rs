//! The exchange for messages of other programs, and the queue behind it.
//!
//! ```text
//!   whoever ──► exchange PREFIX.inbound (topic) ──► queue PREFIX.inbound ──► the process whose turn it is
//!                                                          │ refused
//!                                                          └──► queue PREFIX.inbound.refused
//! ```
//!
//! Both queues are quorum queues: what was confirmed to its sender survives a restart of the broker. A message is acknowledged when
//! what it asks for is committed; one that is refused for good is kept for whoever looks after it, with the reason in a header. It is
//! put there before it is acknowledged: a process that dies in between puts it there twice, and loses none.
//!
//! All processes consume the queue, and the broker gives its messages to one of them, as long as that consumes (a *single active
//! consumer*): of two that take them at once one would take the second message before the other has taken the first.

use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::supervisor::{SAY_AGAIN, Supervisor};
use super::topology::{Topology, close, is_soft_error};
use crate::Error;
use crate::backoff::Backoff;
use crate::health::{Health, describe};
use crate::inbound::{Inbound, InboundSettlement, RefusedInbound};

/// So many messages are in memory at a time, and fewer where they may be large: the broker counts them, and not their bytes.
const PREFETCH: RangeInclusive<u16> = 16..=200;

/// What the messages in memory have together, if none is larger than it may be.
const HELD_MAX_BYTES: usize = 256 << 20;

/// How many refused messages are kept; the oldest go first.
const REFUSED_KEPT: i32 = 10_000;

/// The argument of a queue that gives its messages to one consumer only.
const SINGLE_READER: &str = "x-single-active-consumer";

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

/// So often in a row the broker may not give the queue: then people are told.
const FAILURES_MAX: u32 = 2;

/// Its name in the health report.
pub(super) const PART: &str = "inbound messages";

/// How many messages are handed out at a time where one may have so many bytes.
pub(super) fn prefetch(message_max_bytes: usize) -> u16 {
    let count = u16::try_from(HELD_MAX_BYTES / message_max_bytes.max(1)).unwrap_or(u16::MAX);
    count.clamp(*PREFETCH.start(), *PREFETCH.end())
}

/// Hands messages to a reader, over every reconnection.
pub(super) struct Reading {
    pub(super) topology: Topology,
    pub(super) prefetch: u16,
    /// Of nobody else: a broker that does not give the queue does not answer, and then the connection is given up.
    pub(super) connecting: Arc<Supervisor>,
    pub(super) health: Arc<Health>,
    pub(super) reader: mpsc::Sender<Inbound>,
}

impl Reading {
    /// Until the reader is gone.
    pub(super) async fn run(self, closing: CancellationToken) {
        let is_over = async || {
            tokio::select! {
                () = self.reader.closed() => {}
                () = closing.cancelled() => {}
            }
        };
        let (mut backoff, mut trouble) = (Backoff::new(), Trouble::default());
        loop {
            let link = tokio::select! {
                link = self.connecting.connected() => link,
                () = is_over() => break,
            };
            let since = Instant::now();
            let Err(error) = self.read_on(&link, &mut trouble, is_over()).await else {
                break;
            };
            // A connection that ends tells nothing of the queue, nor does a broker that takes nothing.
            let tells = !matches!(error, Error::Disconnected) && !link.is_blocked();
            if tells && trouble.goes_on(Instant::now()) {
                self.tell_what_to_do(&error);
            }
            tracing::debug!(error = describe(&error), "the inbound messages of the broker ended");
            self.health.broken(PART, &error);
            // A lost connection comes back with a pause of its own.
            if !link.has_ended() {
                tokio::select! {
                    () = tokio::time::sleep(backoff.pause_after(since.elapsed())) => {}
                    () = is_over() => break,
                }
            }
        }
        self.health.works(PART);
    }

    fn tell_what_to_do(&self, error: &Error) {
        tracing::warn!(
            queue = self.topology.inbound().as_str(),
            error = describe(error),
            "the broker does not give the queue of the inbound messages. Where it serves other queues and this goes on, the queue is \
             not what it should be, or has no leader any more: delete it with `rabbitmqctl delete_queue`, and what is in it with it. \
             It is made again at once"
        );
    }

    /// Returns without an error when it is over.
    async fn read_on(
        &self,
        link: &Link,
        trouble: &mut Trouble,
        is_over: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let topology = &self.topology;
        let mut is_over = pin!(is_over);
        let (channel, mut messages) = tokio::select! {
            subscribed = subscribe(topology, link, self.prefetch) => subscribed?,
            () = &mut is_over => return Ok(()),
        };
        self.health.works(PART);
        trouble.is_over();
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
                    // There is room: the reader holds as many as there may be without a word. One that is gone is seen below.
                    let _ = self.reader.send(inbound).await;
                }
                Some(settlement) = settlements.recv() => settle_one(topology, link, &channel, settlement).await?,
                () = &mut is_over => break,
                () = link.ended() => return Err(Error::Disconnected),
            }
        }
        // What was taken would come again to whoever reads next.
        settlements.close();
        while let Ok(settlement) = settlements.try_recv() {
            settle_one(topology, link, &channel, settlement).await?;
        }
        close(link, &channel).await
    }
}

/// A queue that the broker does not give.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    told: Option<Instant>,
}

impl Trouble {
    /// Whether people are to be told: not of what passes by itself, and again now and then while it lasts.
    fn goes_on(&mut self, now: Instant) -> bool {
        self.failures += 1;
        let is_told = self.told.is_some_and(|told| now.duration_since(told) < SAY_AGAIN);
        let tells = self.failures >= FAILURES_MAX && !is_told;
        if tells {
            self.told = Some(now);
        }
        tells
    }

    fn is_over(&mut self) {
        self.failures = 0;
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

async fn subscribe(topology: &Topology, link: &Link, prefetch: u16) -> Result<(Channel, lapin::Consumer), Error> {
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
    declare_inbound(topology, link).await?;
    let queue = topology.inbound();
    let bind = channel.queue_bind(
        queue.clone(),
        topology.inbound(),
        "#".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    link.within(bind).await?;
    link.within(channel.basic_qos(prefetch, BasicQosOptions::default()))
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

/// Makes sure of the queue. One that was made before it had a single reader is used as it is, so that it becomes empty.
async fn declare_inbound(topology: &Topology, link: &Link) -> Result<(), Error> {
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert(
        "x-dead-letter-routing-key".into(),
        AMQPValue::LongString(topology.inbound_refused().as_str().into()),
    );
    let mut of_one_reader = arguments.clone();
    of_one_reader.insert(SINGLE_READER.into(), AMQPValue::Boolean(true));
    match declare_alone(topology.inbound(), link, of_one_reader).await {
        Err(error) if is_soft_error(&error, &AMQPSoftError::PRECONDITIONFAILED) => {
            declare_alone(topology.inbound(), link, arguments).await?;
            tracing::warn!(
                queue = topology.inbound().as_str(),
                "the queue was made without x-single-active-consumer and is used as it is: where several processes read it, messages \
                 of one correlation id may be taken out of their order. Let nobody send, and delete it when it is empty, with \
                 `rabbitmqctl delete_queue`: it is made again at once"
            );
            Ok(())
        }
        declared => declared,
    }
}

/// On a channel of its own, since a refusal closes it.
async fn declare_alone(queue: ShortString, link: &Link, arguments: FieldTable) -> Result<(), Error> {
    let channel = link.channel().await?;
    let declare = channel.queue_declare(queue, QueueDeclareOptions::durable(), arguments);
    link.within(declare).await?;
    close(link, &channel).await
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_large_messages_fewer_are_held() {
        for (message_max_bytes, held) in [
            (0, 200),
            (9 << 17, 200),
            (2 << 20, 128),
            (16 << 20, 16),
            (usize::MAX, 16),
        ] {
            assert_eq!(prefetch(message_max_bytes), held, "{message_max_bytes}");
        }
    }

    #[test]
    fn a_queue_that_is_not_given_is_told_of_at_the_second_time_and_now_and_then_again() {
        let (mut trouble, now) = (Trouble::default(), Instant::now());
        assert!(!trouble.goes_on(now), "it may pass");
        assert!(trouble.goes_on(now));
        assert!(!trouble.goes_on(now), "it was told");
        assert!(trouble.goes_on(now + SAY_AGAIN), "it lasts");
        trouble.is_over();
        assert!(!trouble.goes_on(now + 2 * SAY_AGAIN), "it may pass");
        assert!(trouble.goes_on(now + 2 * SAY_AGAIN));
    }
}
