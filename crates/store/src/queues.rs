//! Targets as queues: how much waits, how much runs, and whether claiming is paused.

use async_trait::async_trait;
use orchestratum_core::task::{Bucket, TargetRate};
use orchestratum_core::{Target, Timestamp};

use crate::{Audit, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub target: Target,
    /// Pending tasks, those that wait for their time included.
    pub depth: u64,
    /// Pending tasks whose time has come.
    pub ready: u64,
    pub running: u64,
    pub paused: bool,
    /// How often its tasks start, if an operator has said so.
    pub rate: Option<TargetRate>,
    /// When the oldest ready task became due.
    pub oldest_due_at: Option<Timestamp>,
}

#[async_trait]
pub trait QueueStore: Send + Sync {
    /// Every target that has tasks or live workers, is paused or has a rate; by name.
    async fn queues(&self) -> Result<Vec<Queue>, Error>;

    /// How many tasks of a target are ready, `most` or more counting as `most`.
    async fn ready(&self, target: &Target, most: usize) -> Result<u64, Error>;

    /// A claim that committed before the pause may still start; nothing is claimed later.
    async fn set_paused(&self, target: &Target, paused: bool, audit: &Audit, now: Timestamp) -> Result<(), Error>;

    async fn is_paused(&self, target: &Target) -> Result<bool, Error>;

    /// From now on tasks of the target start no more often than so; `None` lets them start whenever a worker has time.
    async fn set_rate(
        &self,
        target: &Target,
        rate: Option<TargetRate>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), Error>;

    async fn rate(&self, target: &Target) -> Result<Option<Bucket>, Error>;

    /// The targets with a rate that have ready tasks and are not paused; by name.
    async fn rated_targets(&self) -> Result<Vec<(Target, Bucket)>, Error>;
}
