//! What the loops look for. Finding is apart from changing: a loop reads candidates here and puts an event to each
//! through [`TaskStore::apply`](crate::TaskStore::apply), which decides under a lock. A stale candidate is refused.

use std::collections::BTreeSet;

use async_trait::async_trait;
use orchestratum_core::task::BuiltIn;
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is the answer to a question of its own"
)]
pub struct Pulse {
    /// The earliest `due_at` of a delayed task, past or ahead, or when a task that waits for a start or for a place that is free
    /// may have it.
    pub next_due_at: Option<Timestamp>,
    /// How many targets have a rate.
    pub rates: usize,
    /// The earliest deadline of a pending task, past or ahead.
    pub next_deadline: Option<Timestamp>,
    /// When the next schedule has to be looked at, past or ahead.
    pub next_schedule_at: Option<Timestamp>,
    /// A running task is past its deadline by more than the grace its worker has.
    pub overdue_running: bool,
    /// A worker's lease has run out and it is not marked dead.
    pub silent_workers: bool,
    pub orphans: bool,
    /// The lease of an external worker on a task is over: the attempt is, too, or what is left of the claim can go.
    pub ended_leases: bool,
    /// The targets of the workers that are not known to be gone. Anyone who may create tasks may invent targets; nothing
    /// is asked about those.
    pub served_targets: BTreeSet<Target>,
    /// Those of them with ready tasks.
    pub ready_targets: BTreeSet<Target>,
    /// Members of groups have ended that are not counted, or a group is to stop.
    pub groups: bool,
    /// When the next timer of a saga is due, past or ahead.
    pub next_saga_timer_at: Option<Timestamp>,
    /// Something has reached a saga that it has not looked at.
    pub unlooked_sagas: bool,
}

/// Where to look for tasks of names that nobody offers.
#[derive(Debug, Clone)]
pub struct UnofferedSearch {
    pub target: Target,
    /// The `next` of the search before.
    pub after: Option<TaskName>,
    /// For how long a task must have been due, the target been served, and the name been offered by nobody.
    pub since: Timestamp,
    pub now: Timestamp,
    /// How many names of waiting tasks are looked at.
    pub names: usize,
    /// How many tasks are found.
    pub tasks: usize,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unoffered {
    pub tasks: Vec<UnofferedTask>,
    /// Go on after this name; `None` if there are no more, and the next search begins anew.
    pub next: Option<TaskName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnofferedTask {
    pub id: TaskId,
    pub name: TaskName,
}

/// A row of a search.
#[derive(Debug)]
pub(crate) struct LookedAt {
    /// Found under this name. The row of the last name has none.
    pub(crate) task: Option<TaskId>,
    pub(crate) name: TaskName,
    /// Which in the order of names it was, from 1.
    pub(crate) place: usize,
}

/// The names for which only some workers count.
pub(crate) fn built_in_names() -> Vec<&'static str> {
    BuiltIn::ALL.into_iter().map(BuiltIn::as_str).collect()
}

impl Unoffered {
    pub(crate) fn of(mut rows: Vec<LookedAt>, search: &UnofferedSearch) -> Self {
        rows.sort_by_key(|row| row.place);
        let (found, last): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.task.is_some());
        // What else waits under that name comes in the next round: one name must not keep the others from their turn.
        let stopped_at = if found.len() >= search.tasks {
            found.last()
        } else {
            last.last().filter(|last| last.place >= search.names)
        };
        Self {
            next: stopped_at.map(|row| row.name.clone()),
            tasks: found
                .into_iter()
                .filter_map(|LookedAt { task, name, .. }| Some(UnofferedTask { id: task?, name }))
                .collect(),
        }
    }
}

#[async_trait]
pub trait DispatchStore: Send + Sync {
    /// `running_grace` is how long past its deadline a running task is left to its worker.
    async fn pulse(&self, now: Timestamp, running_grace: std::time::Duration) -> Result<Pulse, Error>;

    /// Makes delayed tasks ready whose time has come, and returns them; the feeder announces them, where there are
    /// queues. Those with conditions ask first, and whatever is free of what others wait for is given.
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

    /// Ready tasks of the target that have been due since before `since`, if workers serve it that were registered before
    /// `since`, and none of its workers has offered their name since. Those over HTTP serve it until their last word is older
    /// than the lease they asked for. For [built-in](BuiltIn) names only workers count that offer such: others never can, and
    /// tell nothing of whether those that can are away for a moment. A search looks at a part of the names that tasks wait
    /// under, in their order, and says where to go on: anyone who may create tasks may invent names.
    async fn unoffered(&self, search: &UnofferedSearch) -> Result<Unoffered, Error>;
}
