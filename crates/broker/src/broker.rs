//! The trait both brokers implement.

use async_trait::async_trait;
use orchestratum_core::Target;
use tokio::sync::{broadcast, mpsc};

use crate::{Error, Hint, Signal};

/// How a publication went. What was not accepted is sent again by the feeder when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishReport {
    /// Confirmed, and in a queue.
    pub accepted: usize,
    /// Returned: no worker has declared the queue of the target yet.
    pub unroutable: usize,
    /// Refused, or not confirmed in time.
    pub failed: usize,
}

/// A message for a worker. It is acknowledged when dropped, or explicitly after the claim committed; a message whose
/// connection is gone comes again by itself, which is harmless.
#[derive(Debug)]
pub struct Delivery {
    pub hint: Hint,
    pub(crate) acknowledgement: Acknowledgement,
}

/// What becomes of a delivery.
#[derive(Debug)]
pub(crate) enum Acknowledgement {
    /// No broker: nothing to say.
    None,
    Rabbit(crate::rabbitmq::Ticket),
}

/// A worker's stream of messages. Dropping it ends the consumption; unacknowledged messages go back.
#[derive(Debug)]
pub struct Consumer {
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    /// Tells the supervisor whether this worker has room: a full worker's consumer is cancelled.
    pub(crate) accepting: tokio::sync::watch::Sender<bool>,
}

/// Implementations reconnect by themselves and put a deadline on every await.
#[async_trait]
pub trait Broker: Send + Sync + std::fmt::Debug {
    /// Sends messages and waits for the broker's word on each, all in flight at once, for at most a few seconds.
    async fn publish(&self, hints: &[Hint]) -> Result<PublishReport, Error>;

    /// How many messages wait in the queue of a target; `None` if no worker has declared it, or if there are no queues.
    async fn depth(&self, target: &Target) -> Result<Option<u64>, Error>;

    /// Whether targets have queues to be kept filled.
    fn has_queues(&self) -> bool;

    /// Declares the queues of the targets and consumes them until the consumer is dropped, over every reconnection.
    async fn consume(&self, targets: &[Target]) -> Result<Consumer, Error>;

    /// Tells every process, this one included. Best effort.
    async fn signal(&self, signal: Signal) -> Result<(), Error>;

    /// What [`signal`](Self::signal) is told from now on.
    fn signals(&self) -> broadcast::Receiver<Signal>;

    /// For `/health/ready`: connected now, and the newest error if not.
    fn health(&self) -> Result<(), String>;

    /// Sends what is under way and closes the connection.
    async fn close(&self);
}

impl Consumer {
    /// The next message, or `None` when the broker was closed.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// A message that is already here.
    pub fn try_next(&mut self) -> Option<Delivery> {
        self.deliveries.try_recv().ok()
    }

    /// Says whether this worker has room. Without room the messages stay with the broker, for other workers.
    pub fn set_accepting(&self, accepting: bool) {
        self.accepting
            .send_if_modified(|current| std::mem::replace(current, accepting) != accepting);
    }
}
