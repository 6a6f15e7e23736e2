//! What an operation answers, in a form that can be compared: what has no order is sorted.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{GroupId, TaskId, WorkerId};
use orchestratum_store::{
    Attempt, CancelGroupOutcome, ChangeOutcome, Children, ClaimedTask, CreateGroupOutcome, CreateOutcome,
    DeleteOutcome, Dispatch, Group, Orphan, Pulse, Queue, Renewal, Settled, Task,
};

/// Everything a reader can see of one task.
#[derive(Debug, PartialEq)]
pub(crate) struct Whole {
    pub(crate) task: Task,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) dispatch: Option<Dispatch>,
}

/// Everything the loops and the operator can see.
#[derive(Debug, PartialEq)]
pub(crate) struct Overview {
    pub(crate) pulse: Pulse,
    pub(crate) counts: BTreeMap<TaskStatus, u64>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) expired_pending: Vec<TaskId>,
    pub(crate) overdue_running: Vec<TaskId>,
    pub(crate) orphans: Vec<(TaskId, WorkerId, u32)>,
    pub(crate) unoffered: Vec<TaskId>,
}

/// Everything that can be seen of groups.
#[derive(Debug, PartialEq)]
pub(crate) struct Groups {
    pub(crate) items: Vec<Group>,
    pub(crate) unsettled: Vec<GroupId>,
    pub(crate) to_cancel: Vec<TaskId>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Created(Vec<CreateOutcome>),
    /// `id`, `attempt`, `run` of what was claimed.
    Claimed(Vec<(TaskId, u32, u32)>),
    Applied(Vec<ChangeOutcome>),
    /// The attempts that run.
    Appended(Vec<(TaskId, u32)>),
    Deleted(DeleteOutcome),
    Tasks(Vec<TaskId>),
    Workers(Vec<WorkerId>),
    Renewed(Renewal),
    Count(u64),
    Whole(Vec<Whole>),
    Children(Box<Children>),
    Overview(Box<Overview>),
    CreatedGroup(CreateGroupOutcome),
    CancelledGroup(CancelGroupOutcome),
    Settled(Option<Settled>),
    Groups(Box<Groups>),
    Nothing,
}

impl Answer {
    pub(crate) fn tasks(ids: impl IntoIterator<Item = TaskId>) -> Self {
        Self::Tasks(sorted(ids))
    }

    pub(crate) fn appended(running: impl IntoIterator<Item = (TaskId, u32)>) -> Self {
        Self::Appended(sorted(running))
    }

    pub(crate) fn claimed(claimed: impl IntoIterator<Item = (TaskId, u32, u32)>) -> Self {
        Self::Claimed(sorted(claimed))
    }
}

pub(crate) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items
}

pub(crate) fn claim(task: &ClaimedTask) -> (TaskId, u32, u32) {
    (task.id, task.attempt, task.run)
}

pub(crate) fn orphan(orphan: &Orphan) -> (TaskId, WorkerId, u32) {
    (orphan.task, orphan.worker, orphan.attempt)
}

/// Holdings by task: the databases list them in no order. And without what is left of the lease, which depends on when
/// the database is asked.
pub(crate) fn renewal(renewal: Renewal) -> Renewal {
    match renewal {
        Renewal::Renewed { mut holdings, left: _ } => {
            holdings.sort_by_key(|holding| holding.task);
            Renewal::Renewed {
                holdings,
                left: Duration::ZERO,
            }
        }
        Renewal::Lost => Renewal::Lost,
    }
}
