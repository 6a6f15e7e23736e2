//! How many messages wait in a queue.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;
use orchestratum_core::Target;
use std::sync::Arc;
use tokio::sync::Mutex;

use super::link::Link;
use super::supervisor::Supervisor;
use super::topology::{Topology, is_soft_error};
use crate::Error;

/// Asks by a passive declaration, on a channel of its own: a queue that does not exist closes the channel that asks.
#[derive(Debug)]
pub(super) struct Gauge {
    topology: Topology,
    listening: Arc<Supervisor>,
    /// One question at a time, so that a channel that is closed by one is not in the way of another.
    channel: Mutex<Option<(Arc<Link>, Channel)>>,
}

impl Gauge {
    pub(super) fn new(topology: Topology, listening: Arc<Supervisor>) -> Self {
        Self {
            topology,
            listening,
            channel: Mutex::default(),
        }
    }

    pub(super) async fn depth(&self, target: &Target) -> Result<Option<u64>, Error> {
        let mut kept = self.channel.lock().await;
        let link = self.listening.link()?;
        // Taken out while it is used: a caller that gives up leaves no half-used channel behind.
        let channel = match kept.take() {
            Some((of, channel)) if Arc::ptr_eq(&of, &link) => channel,
            Some(_) | None => link.channel().await?,
        };
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let ask = channel.queue_declare(self.topology.queue(target), passive, FieldTable::default());
        match link.within(ask).await {
            Ok(queue) => {
                let depth = u64::from(queue.message_count());
                *kept = Some((link, channel));
                Ok(Some(depth))
            }
            Err(error) if is_soft_error(&error, &AMQPSoftError::NOTFOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
