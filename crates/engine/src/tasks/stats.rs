//! Counts for dashboards and alarms.

use std::collections::BTreeMap;

use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskStatus;
use orchestratum_store::Queue;

use crate::{Engine, Error};

/// Where counting stops: about a second's work for a database.
pub const COUNTED_TASKS: usize = 10_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Every status has an entry.
    pub by_status: BTreeMap<TaskStatus, u64>,
    /// More than [`COUNTED_TASKS`] are stored: there may be more of each status than was counted.
    pub truncated: bool,
    pub queues: Vec<Queue>,
    /// Where counting is dear, its result is kept for a while.
    pub counted_at: Timestamp,
}

impl Engine {
    pub async fn stats(&self) -> Result<Stats, Error> {
        let engine = self.clone();
        self.parts.stats.or_ask(async move { engine.count().await }).await
    }

    async fn count(&self) -> Result<Stats, Error> {
        let counted_at = self.parts.clock.now();
        let by_status = self.parts.store.counts(COUNTED_TASKS).await?;
        Ok(Stats {
            truncated: by_status.values().sum::<u64>() >= COUNTED_TASKS as u64,
            by_status,
            queues: self.parts.store.queues().await?,
            counted_at,
        })
    }
}
