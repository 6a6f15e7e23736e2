//! Receiving hints: one task for each consumer, over every reconnection.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll};
use futures::{FutureExt, StreamExt, future};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use orchestratum_core::Target;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::body::{self, Poison};
use super::ledger::{Frame, Ledger};
use super::link::Link;
use super::supervisor::Supervisor;
use super::topology::{Topology, close};
use crate::Error;
use crate::backoff::Backoff;
use crate::consumer::{Delivery, Mailbox, Settlement};
use crate::health::{Health, describe};

/// Settlements told in one go.
const SETTLEMENTS_AT_A_TIME: usize = 1_024;
/// How long a consumption that ends waits for the worker's word on what it has taken. What is not settled by then goes
/// back, and costs whoever gets it an empty claim.
const LINGER: Duration = Duration::from_secs(1);

/// What a worker has asked for.
pub(super) struct Consumption {
    /// Its name in the health report.
    part: String,
    topology: Topology,
    targets: Vec<Target>,
    /// For each target, so that all together stay within what the worker may hold.
    prefetch: u16,
    mailbox: Arc<Mailbox>,
    /// Whether the worker has room. Its end means that the worker is gone.
    has_room: watch::Receiver<bool>,
    /// The kinds of poison that have been logged: one line each, the counter has the rest.
    logged: BTreeSet<Poison>,
}

/// Why a consumption on one channel ended without an error.
enum Ended {
    WorkerGone,
    Closing,
}

impl Consumption {
    pub(super) fn new(
        part: String,
        topology: Topology,
        targets: Vec<Target>,
        prefetch: u16,
        mailbox: Arc<Mailbox>,
        has_room: watch::Receiver<bool>,
    ) -> Self {
        let count = u16::try_from(targets.len()).unwrap_or(u16::MAX).max(1);
        Self {
            part,
            topology,
            prefetch: (prefetch / count).max(1),
            targets,
            mailbox,
            has_room,
            logged: BTreeSet::new(),
        }
    }

    /// Consumes until the worker or the broker closes.
    pub(super) async fn run(mut self, consuming: Arc<Supervisor>, health: Arc<Health>, closing: CancellationToken) {
        let mut backoff = Backoff::new();
        let mut room = self.has_room.clone();
        let ended = |room: &mut watch::Receiver<bool>| {
            let mut room = room.clone();
            let closing = closing.clone();
            async move {
                tokio::select! {
                    () = closing.cancelled() => {}
                    () = worker_gone(&mut room) => {}
                }
            }
        };
        loop {
            let link = tokio::select! {
                link = consuming.connected() => link,
                () = ended(&mut room) => break,
            };
            let since = Instant::now();
            let session = self.consume_on(&link, &health, &closing).await;
            // Whatever was not taken belongs to a channel that is gone.
            self.mailbox.empty();
            match session {
                Ok(Ended::WorkerGone | Ended::Closing) => break,
                Err(error) => {
                    // The end of a connection is told of by its supervisor.
                    if !link.has_ended() {
                        tracing::warn!(
                            consumer = self.part,
                            error = describe(&error),
                            "the consumption was interrupted"
                        );
                    }
                    health.broken(&self.part, &error);
                }
            }
            // A lost connection comes back with a pause of its own.
            let pause = if link.has_ended() {
                Duration::ZERO
            } else {
                backoff.pause_after(since.elapsed())
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ended(&mut room) => break,
            }
        }
        health.works(&self.part);
        self.mailbox.close();
    }

    async fn consume_on(&mut self, link: &Link, health: &Health, closing: &CancellationToken) -> Result<Ended, Error> {
        let mut session = Session::open(self, link).await?;
        let mut settlements = Vec::with_capacity(SETTLEMENTS_AT_A_TIME);
        session.adjust().await?;
        // Only now: a connection on which nothing is consumed is no health.
        health.works(&session.consumption.part);
        let ended = loop {
            tokio::select! {
                changed = session.consumption.has_room.changed() => match changed {
                    Ok(()) => session.adjust().await?,
                    Err(_) => break Ended::WorkerGone,
                },
                () = closing.cancelled() => break Ended::Closing,
                () = link.ended() => return Err(Error::Disconnected),
                _count = session.settlements.recv_many(&mut settlements, SETTLEMENTS_AT_A_TIME) => {
                    session.settle(&settlements).await?;
                    settlements.clear();
                }
                Some(arrival) = session.arrivals.next() => {
                    session.receive(arrival).await?;
                }
            }
        };
        session.finish().await?;
        Ok(ended)
    }
}

/// Something on a consumer's stream; `None` when the broker has cancelled it.
type Arrival = (usize, Option<lapin::Result<lapin::message::Delivery>>);

/// A consumption on one channel. Dropping it closes the channel, which gives everything back that is not settled.
struct Session<'a> {
    consumption: &'a mut Consumption,
    link: &'a Link,
    channel: Channel,
    ledger: Ledger,
    tell: mpsc::UnboundedSender<Settlement>,
    settlements: mpsc::UnboundedReceiver<Settlement>,
    arrivals: SelectAll<BoxStream<'static, Arrival>>,
    /// The consumers that are running, by their tags.
    tags: Vec<ShortString>,
}

impl<'a> Session<'a> {
    async fn open(consumption: &'a mut Consumption, link: &'a Link) -> Result<Self, Error> {
        for target in &consumption.targets {
            consumption.topology.declare_queue(link, target).await?;
        }
        let channel = link.channel().await?;
        // For each consumer: the limit for a whole channel is deprecated.
        let qos = channel.basic_qos(consumption.prefetch, BasicQosOptions::default());
        link.within(qos).await?;
        let (tell, settlements) = mpsc::unbounded_channel();
        Ok(Self {
            consumption,
            link,
            channel,
            ledger: Ledger::default(),
            tell,
            settlements,
            arrivals: SelectAll::new(),
            tags: Vec::new(),
        })
    }

    /// Consumes if the worker has room, and not if it has none.
    async fn adjust(&mut self) -> Result<(), Error> {
        let has_room = *self.consumption.has_room.borrow_and_update();
        match (has_room, self.is_consuming()) {
            (true, false) => self.resume().await,
            (false, true) => self.pause().await,
            (true, true) | (false, false) => Ok(()),
        }
    }

    fn is_consuming(&self) -> bool {
        !self.tags.is_empty()
    }

    async fn resume(&mut self) -> Result<(), Error> {
        for (position, target) in self.consumption.targets.iter().enumerate() {
            let queue = self.consumption.topology.queue(target);
            let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            let consume = self
                .channel
                .basic_consume(queue, ShortString::default(), options, arguments);
            let consumer = self.link.within(consume).await?;
            self.tags.push(consumer.tag());
            let arrivals = consumer.map(Some).chain(stream::iter([None]));
            self.arrivals
                .push(arrivals.map(move |arrival| (position, arrival)).boxed());
        }
        Ok(())
    }

    /// Cancels the consumers and gives back what the worker has not taken.
    async fn pause(&mut self) -> Result<(), Error> {
        let tags = std::mem::take(&mut self.tags);
        let cancels = tags
            .into_iter()
            .map(|tag| self.channel.basic_cancel(tag, BasicCancelOptions::default()));
        self.link.within(future::try_join_all(cancels)).await?;
        // What was on its way when the broker cancelled is in the streams by now, each followed by its end.
        let mut given_back = Vec::new();
        while let Some((_, arrival)) = self.link.within(self.arrivals.next().map(Ok)).await? {
            if let Some(delivery) = arrival {
                given_back.push(Settlement::Requeue(delivery.map_err(Error::Refused)?.delivery_tag));
                self.ledger.open();
            }
        }
        self.consumption.mailbox.empty();
        self.settle(&given_back).await
    }

    async fn receive(&mut self, (position, arrival): Arrival) -> Result<(), Error> {
        let target = &self.consumption.targets[position];
        let Some(delivery) = arrival else {
            let queue = self.consumption.topology.queue(target).to_string();
            return Err(Error::Cancelled { queue });
        };
        let delivery = delivery.map_err(Error::Refused)?;
        self.ledger.open();
        metrics::counter!("orchestratum_broker_consumed_messages_total").increment(1);
        match body::read(&delivery.data, target) {
            Ok(hint) => {
                let delivery = Delivery::new(hint, delivery.delivery_tag, self.tell.clone());
                self.consumption.mailbox.put(delivery);
                Ok(())
            }
            Err(poison) => {
                metrics::counter!("orchestratum_broker_poison_messages_total", "reason" => poison.as_str())
                    .increment(1);
                if self.consumption.logged.insert(poison) {
                    tracing::warn!(
                        target = target.as_str(),
                        reason = poison.as_str(),
                        bytes = delivery.data.len(),
                        "a message is not a hint and was dropped; more of this kind are only counted"
                    );
                }
                self.settle(&[Settlement::Acknowledge(delivery.delivery_tag)]).await
            }
        }
    }

    async fn settle(&mut self, settlements: &[Settlement]) -> Result<(), Error> {
        let acknowledged = settlements
            .iter()
            .filter(|settlement| matches!(settlement, Settlement::Acknowledge(_)))
            .count();
        metrics::counter!("orchestratum_broker_acknowledged_messages_total").increment(acknowledged as u64);
        let frames = self.ledger.settle(settlements);
        let channel = &self.channel;
        let sends = frames.into_iter().map(|frame| async move {
            match frame {
                Frame::Acknowledge { tag, multiple } => channel.basic_ack(tag, BasicAckOptions { multiple }).await,
                Frame::Requeue { tag } => {
                    let options = BasicNackOptions {
                        requeue: true,
                        ..BasicNackOptions::default()
                    };
                    channel.basic_nack(tag, options).await
                }
            }
        });
        self.link.within(future::try_join_all(sends)).await.map(drop)
    }

    /// Gives back what was not taken, waits a moment for the worker's word on the rest, and closes the channel.
    async fn finish(&mut self) -> Result<(), Error> {
        if self.is_consuming() {
            self.pause().await?;
        }
        let last_words = async {
            let mut settlements = Vec::new();
            while self.ledger.outstanding() > 0 {
                self.settlements
                    .recv_many(&mut settlements, SETTLEMENTS_AT_A_TIME)
                    .await;
                self.settle(&settlements).await?;
                settlements.clear();
            }
            Ok(())
        };
        match timeout(LINGER, last_words).await {
            Ok(settled) => settled?,
            Err(_elapsed) => tracing::debug!("a worker that left did not settle all its deliveries: they go back"),
        }
        close(self.link, &self.channel).await
    }
}

/// Returns when the worker has dropped its consumer.
async fn worker_gone(has_room: &mut watch::Receiver<bool>) {
    while has_room.changed().await.is_ok() {}
}
