//! Counts for dashboards and alarms.

use std::collections::BTreeMap;

use orchestratum_core::task::TaskStatus;
use orchestratum_store::Queue;

use crate::{Engine, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Every status has an entry.
    pub by_status: BTreeMap<TaskStatus, u64>,
    pub queues: Vec<Queue>,
}

impl Engine {
    pub async fn stats(&self) -> Result<Stats, Error> {
        let mut by_status = self.parts.store.counts().await?;
        for status in TaskStatus::ALL {
            by_status.entry(*status).or_insert(0);
        }
        Ok(Stats {
            by_status,
            queues: self.parts.store.queues().await?,
        })
    }
}
