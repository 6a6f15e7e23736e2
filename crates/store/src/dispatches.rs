//! What the loops look for. Finding is apart from changing: a loop reads candidates here and puts an event to each
//! through [`TaskStore::apply`](crate::TaskStore::apply), which decides under a lock. A stale candidate is refused.

use std::collections::BTreeSet;

use async_trait::async_trait;
use orchestratum_core::{Target, TaskId, TaskName, Timestamp, WorkerId};

use crate::Error;

/// A ready task that a message may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    pub task: TaskId,
    pub target: Target,
    pub name: TaskName,
}

/// An attempt whose worker is dead or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    pub task: TaskId,
    pub worker: WorkerId,
    pub attempt: u32,
}

/// What each loop has to do, from one statement of first-row probes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pulse {
    /// The earliest `due_at` of a delayed task, past or ahead.
    pub next_due_at: Option<Timestamp>,
    /// The earliest deadline of a pending task, past or ahead.
    pub next_deadline: Option<Timestamp>,
    /// A running task is past its deadline by more than the grace its worker has.
    pub overdue_running: bool,
    /// A worker's lease has run out and it is not marked dead.
    pub silent_workers: bool,
    pub orphans: bool,
    /// The targets of the workers that are not known to be gone. Anyone who may create tasks may invent targets; nothing
    /// is asked about those.
    pub served_targets: BTreeSet<Target>,
    /// Those of them with ready tasks.
    pub ready_targets: BTreeSet<Target>,
}

/// How many names of waiting tasks are looked at for those that nobody offers.
pub(crate) const UNOFFERED_NAMES: usize = 10_000;

#[async_trait]
pub trait DispatchStore: Send + Sync {
    /// `running_grace` is how long past its deadline a running task is left to its worker.
    async fn pulse(&self, now: Timestamp, running_grace: std::time::Duration) -> Result<Pulse, Error>;

    /// Makes delayed tasks ready whose time has come, and returns them; the feeder announces them, where there are
    /// queues.
    async fn release_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Ready>, Error>;

    /// Of the first `window` ready tasks of the target whose names its workers offer, in order of priority and age (where
    /// they offer many names, only so many of each that all have a share), takes at most `missing` for which a message may be sent now (any of them if `force`), and moves their `publish_at` forward.
    async fn feed(
        &self,
        target: &Target,
        window: usize,
        missing: usize,
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<Ready>, Error>;

    /// Pending tasks past their deadline, oldest deadline first.
    async fn expired_pending(&self, now: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error>;

    /// Running tasks whose deadline passed before `deadline`.
    async fn overdue_running(&self, deadline: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error>;

    async fn orphans(&self, limit: usize) -> Result<Vec<Orphan>, Error>;

    /// Ready tasks that have been due since before `since`, whose target is served by workers registered before `since`,
    /// and whose name none of the target's workers has offered since. Looks at the first 10 000 names of waiting tasks; as
    /// those end, the others come forward.
    async fn unoffered(&self, since: Timestamp, now: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error>;
}
