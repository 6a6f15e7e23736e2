//! Signals between processes: one fanout exchange, and a queue for each process that lives as long as its connection.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::supervisor::Supervisor;
use super::topology::Topology;
use crate::backoff::Backoff;
use crate::health::{Health, describe};
use crate::switchboard::Switchboard;
use crate::{Error, Signal};

const IDS_PER_MESSAGE: usize = 1_000;
/// What a process that does not read can cost the broker: this many messages, for this long.
const QUEUE_LENGTH: i32 = 10_000;
const MESSAGE_LIFETIME_MS: i32 = 60_000;
/// An exchange or a binding that somebody deletes is back after this: the broker does not tell us.
const REPAIR_PERIOD: Duration = Duration::from_secs(10);
/// Its name in the health report.
pub(super) const PART: &str = "signals";

/// Tells the other processes, without waiting for a confirmation.
#[derive(Debug)]
pub(super) struct Announcer {
    topology: Topology,
    publishing: Arc<Supervisor>,
    channel: Mutex<Option<(Arc<Link>, Channel)>>,
}

impl Announcer {
    pub(super) fn new(topology: Topology, publishing: Arc<Supervisor>) -> Self {
        Self {
            topology,
            publishing,
            channel: Mutex::default(),
        }
    }

    pub(super) async fn announce(&self, switchboard: &Switchboard, signal: Signal) -> Result<(), Error> {
        let link = self.publishing.link()?;
        if link.is_blocked() {
            return Err(Error::Blocked);
        }
        for part in signal.split(IDS_PER_MESSAGE) {
            let Ok(payload) = switchboard.wrap(part) else {
                continue;
            };
            let channel = self.channel(&link).await?;
            let publish = channel.basic_publish(
                self.topology.signals(),
                ShortString::default(),
                BasicPublishOptions::default(),
                payload.as_bytes(),
                BasicProperties::default().with_content_type("application/json".into()),
            );
            tokio::select! {
                sent = link.within(publish) => sent.map(drop)?,
                () = link.unusable() => return Err(Error::Blocked),
            }
        }
        Ok(())
    }

    /// The channel for signals, made again when the broker has closed it because the exchange was deleted.
    async fn channel(&self, link: &Arc<Link>) -> Result<Channel, Error> {
        let mut kept = self.channel.lock().await;
        if let Some((of, channel)) = &*kept
            && Arc::ptr_eq(of, link)
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        *kept = None;
        let channel = link.channel().await?;
        self.topology.declare_signals(link, &channel).await?;
        *kept = Some((Arc::clone(link), channel.clone()));
        Ok(channel)
    }
}

/// Hands what others say to the switchboard, over every reconnection.
pub(super) async fn listen(
    topology: Topology,
    listening: Arc<Supervisor>,
    switchboard: Arc<Switchboard>,
    health: Arc<Health>,
    closing: CancellationToken,
) {
    let keep_listening = async {
        let mut backoff = Backoff::new();
        loop {
            let link = listening.connected().await;
            let since = Instant::now();
            let error = listen_on(&topology, &link, &switchboard, &health).await;
            tracing::debug!(error = describe(&error), "the signals of the broker ended");
            health.broken(PART, &error);
            // A lost connection comes back with a pause of its own.
            if !link.has_ended() {
                tokio::time::sleep(backoff.pause_after(since.elapsed())).await;
            }
        }
    };
    tokio::select! {
        () = keep_listening => {}
        () = closing.cancelled() => {}
    }
}

/// Returns why it ended.
async fn listen_on(topology: &Topology, link: &Arc<Link>, switchboard: &Switchboard, health: &Health) -> Error {
    let (channel, queue, mut messages) = match subscribe(topology, link).await {
        Ok(subscribed) => subscribed,
        Err(error) => return error,
    };
    health.works(PART);
    let mut repair = tokio::time::interval(REPAIR_PERIOD);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(Ok(message)) => {
                    if switchboard.receive(&message.data).is_err() {
                        metrics::counter!("orchestratum_broker_poison_messages_total", "reason" => "not_a_signal").increment(1);
                    }
                }
                Some(Err(error)) => return Error::Refused(error),
                None => return Error::Cancelled { queue: queue.to_string() },
            },
            _ = repair.tick() => if let Err(error) = bind(topology, link, &channel, &queue).await {
                return error;
            },
            () = link.ended() => return Error::Disconnected,
        }
    }
}

async fn subscribe(topology: &Topology, link: &Link) -> Result<(Channel, ShortString, lapin::Consumer), Error> {
    let channel = link.channel().await?;
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(QUEUE_LENGTH));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(MESSAGE_LIFETIME_MS));
    let declare = channel.queue_declare(ShortString::default(), options, arguments);
    let queue = link.within(declare).await?.name().clone();
    bind(topology, link, &channel, &queue).await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let consume = channel.basic_consume(queue.clone(), ShortString::default(), options, FieldTable::default());
    let messages = link.within(consume).await?;
    Ok((channel, queue, messages))
}

async fn bind(topology: &Topology, link: &Link, channel: &Channel, queue: &ShortString) -> Result<(), Error> {
    topology.declare_signals(link, channel).await?;
    let bind = channel.queue_bind(
        queue.clone(),
        topology.signals(),
        ShortString::default(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    link.within(bind).await
}
