//! The part of a task that changes: its state, its fence and its budgets.

use std::time::Duration;

use crate::identity::WorkerId;
use crate::task::retry::RetryPolicy;
use crate::task::status::{TaskError, TaskStatus};
use crate::time::Timestamp;

/// Where a task stands, with what is only true there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    Pending {
        /// Nothing starts before this: the scheduled time, or the end of a back-off.
        due_at: Timestamp,
    },
    InProgress {
        /// Who holds the attempt.
        worker: WorkerId,
        started_at: Timestamp,
        /// A caller wants it stopped, and this is why; the worker has not reported yet.
        cancel_requested: Option<TaskError>,
    },
    Completed {
        finished_at: Timestamp,
    },
    Failed {
        finished_at: Timestamp,
        error: TaskError,
    },
    Expired {
        finished_at: Timestamp,
        error: TaskError,
    },
    Cancelled {
        finished_at: Timestamp,
        error: TaskError,
    },
}

impl TaskState {
    pub const fn status(&self) -> TaskStatus {
        match self {
            Self::Pending { .. } => TaskStatus::Pending,
            Self::InProgress { .. } => TaskStatus::InProgress,
            Self::Completed { .. } => TaskStatus::Completed,
            Self::Failed { .. } => TaskStatus::Failed,
            Self::Expired { .. } => TaskStatus::Expired,
            Self::Cancelled { .. } => TaskStatus::Cancelled,
        }
    }
}

/// Everything the transition function reads and writes of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLife {
    pub state: TaskState,
    /// The fence: the number of the newest attempt over all runs, 0 before the first. It only grows.
    pub attempt: u32,
    /// 1 for the first run; each manual retry starts another.
    pub run: u32,
    pub retries_left: u16,
    pub losses_left: u16,
    /// When the time-to-live of this run begins.
    pub scheduled_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Changed with every write; the `ETag` of the wire.
    pub version: u32,
}

impl TaskLife {
    /// A task as it is created.
    pub fn new(policy: RetryPolicy, scheduled_at: Timestamp, ttl: Duration) -> Self {
        Self {
            state: TaskState::Pending { due_at: scheduled_at },
            attempt: 0,
            run: 1,
            retries_left: policy.max_retries,
            losses_left: policy.max_losses,
            scheduled_at,
            expires_at: scheduled_at + ttl,
            version: 1,
        }
    }

    pub const fn status(&self) -> TaskStatus {
        self.state.status()
    }
}
