//! The trait both brokers implement.

use async_trait::async_trait;
use orchestratum_core::Target;
use tokio::sync::broadcast;

use crate::{Consumer, Error, Hint, InboundMessages, Signal};

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

/// Implementations reconnect by themselves and put a deadline on every await.
#[async_trait]
pub trait Broker: Send + Sync + std::fmt::Debug {
    /// Sends messages and waits for the broker's word on each, all in flight at once, for at most a few seconds. While
    /// there is no connection it fails at once: a caller is never made to wait for the broker to come back.
    async fn publish(&self, hints: &[Hint]) -> Result<PublishReport, Error>;

    /// How many messages wait in the queue of a target; `None` if no worker has declared it, or if there are no queues.
    async fn depth(&self, target: &Target) -> Result<Option<u64>, Error>;

    /// Whether targets have queues to be kept filled.
    fn has_queues(&self) -> bool;

    /// Declares the queues of the targets and consumes them until the consumer is dropped, over every reconnection.
    /// Returns at once, connected or not.
    async fn consume(&self, targets: &[Target]) -> Result<Consumer, Error>;

    /// Tells every process. Receivers in this process are told directly and always, the others as far as the broker
    /// can be reached. Nobody is told twice.
    async fn signal(&self, signal: Signal) -> Result<(), Error>;

    /// What [`signal`](Self::signal) is told from now on, here and elsewhere. A receiver that falls far behind misses
    /// some of it.
    fn signals(&self) -> broadcast::Receiver<Signal>;

    /// Messages of other programs, as they come; `None` where there are no queues. Returns at once, connected or not. The larger they
    /// may be, the fewer are given out before the first of them is settled; larger ones come all the same.
    fn inbound(&self, message_max_bytes: usize) -> Option<InboundMessages>;

    /// For `/health/ready`: connected now, and the newest error if not.
    fn health(&self) -> Result<(), String>;

    /// Sends what is under way and closes the connection. Consumers end.
    async fn close(&self);
}
