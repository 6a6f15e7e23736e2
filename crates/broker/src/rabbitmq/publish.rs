//! Sending hints.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::body;
use super::link::{ANSWER_DEADLINE, Link};
use super::supervisor::Supervisor;
use super::topology::Topology;
use crate::{Error, Hint, PublishReport};

/// Publications at a time, each on a channel of its own: lapin tells which message was returned by the order of the
/// channel, so two publications on one would count each other's returns.
const LANES: u32 = 4;
/// Messages in flight in one publication.
const IN_FLIGHT: usize = 1_024;
/// Survives a restart of the broker, with a durable queue.
const PERSISTENT: u8 = 2;

#[derive(Debug)]
pub(super) struct Publisher {
    topology: Topology,
    publishing: Arc<Supervisor>,
    lanes: Semaphore,
}

impl Publisher {
    pub(super) fn new(topology: Topology, publishing: Arc<Supervisor>) -> Self {
        Self {
            topology,
            publishing,
            lanes: Semaphore::new(LANES as usize),
        }
    }

    pub(super) async fn publish(&self, hints: &[Hint]) -> Result<PublishReport, Error> {
        let deadline = Instant::now() + ANSWER_DEADLINE;
        if hints.is_empty() {
            return Ok(PublishReport::default());
        }
        let _lane = self.lane(deadline).await?;
        let link = self.publishing.link()?;
        if link.is_blocked() {
            return Err(Error::Blocked);
        }
        let channel = match take_spare(&link) {
            Some(channel) => channel,
            None => match timeout_at(deadline, open(&link)).await {
                Ok(opened) => opened?,
                Err(_elapsed) => return Err(link.too_late()),
            },
        };
        let mut report = PublishReport::default();
        for chunk in hints.chunks(IN_FLIGHT) {
            self.fly(&link, &channel, chunk, deadline, &mut report).await;
            let answered = report.accepted + report.unroutable + report.failed;
            if answered < hints.len().min(IN_FLIGHT) || !channel.status().connected() {
                break;
            }
        }
        let answered = report.accepted + report.unroutable + report.failed;
        if answered == hints.len() && channel.status().connected() {
            link.spare_channels.lock().push(channel);
        } else if Instant::now() >= deadline {
            // Not all is lost: what was confirmed stays confirmed.
            let _too_late = link.too_late();
        }
        report.failed += hints.len() - answered;
        count(&report);
        Ok(report)
    }

    /// Returns when no publication is under way, and lets no other begin.
    pub(super) async fn finish(&self) {
        if let Ok(all) = self.lanes.acquire_many(LANES).await {
            all.forget();
            self.lanes.close();
        }
    }

    async fn lane(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Error> {
        match timeout_at(deadline, self.lanes.acquire()).await {
            Ok(Ok(lane)) => Ok(lane),
            Ok(Err(_closed)) => Err(Error::Disconnected),
            Err(_elapsed) => Err(Error::Timeout {
                seconds: ANSWER_DEADLINE.as_secs(),
            }),
        }
    }

    /// Sends all of them at once and adds up what the broker says until it has spoken of each, or does not any more.
    async fn fly(&self, link: &Link, channel: &Channel, hints: &[Hint], deadline: Instant, report: &mut PublishReport) {
        let mut flights: FuturesOrdered<_> = hints
            .iter()
            .map(|hint| send(channel, self.topology.queue(&hint.target), hint))
            .collect();
        let unusable = link.unusable();
        tokio::pin!(unusable);
        loop {
            tokio::select! {
                biased;
                landed = flights.next() => match landed {
                    Some(Ok(Confirmation::Ack(None))) => report.accepted += 1,
                    Some(Ok(Confirmation::Ack(Some(_returned)))) => report.unroutable += 1,
                    Some(Ok(Confirmation::Nack(_) | Confirmation::NotRequested) | Err(_)) => report.failed += 1,
                    None => return,
                },
                () = &mut unusable => return,
                () = tokio::time::sleep_until(deadline) => return,
            }
        }
    }
}

fn take_spare(link: &Link) -> Option<Channel> {
    let mut spare = link.spare_channels.lock();
    spare.retain(|channel| channel.status().connected());
    spare.pop()
}

async fn open(link: &Link) -> Result<Channel, Error> {
    let channel = link.channel().await?;
    link.within(channel.confirm_select(ConfirmSelectOptions::default()))
        .await?;
    Ok(channel)
}

async fn send(channel: &Channel, queue: ShortString, hint: &Hint) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(hint.task.to_string().into());
    let body = body::write(hint);
    let confirm = channel
        .basic_publish("".into(), queue, options, &body, properties)
        .await?;
    confirm.await
}

fn count(report: &PublishReport) {
    let results = [
        ("accepted", report.accepted),
        ("unroutable", report.unroutable),
        ("failed", report.failed),
    ];
    for (result, messages) in results {
        if messages > 0 {
            metrics::counter!("orchestratum_broker_published_messages_total", "result" => result)
                .increment(messages as u64);
        }
    }
}
