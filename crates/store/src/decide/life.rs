//! The life of a task as columns, both ways.

use orchestratum_core::task::{TaskError, TaskLife, TaskState, TaskStatus};
use orchestratum_core::{TaskId, Timestamp, WorkerId};

use crate::Error;

/// The columns that hold a [`TaskLife`].
///
/// `worker` and `started_at` tell of the newest attempt even after it ended; `due_at` is kept in the dispatch row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LifeColumns {
    pub(crate) status: i64,
    pub(crate) run: i64,
    pub(crate) attempt: i64,
    pub(crate) version: i64,
    pub(crate) retries_left: i64,
    pub(crate) losses_left: i64,
    pub(crate) cancel_requested: bool,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) due_at: Option<Timestamp>,
    /// A [`TaskError`] as JSON: that of its end, or while it runs why it is to be cancelled.
    pub(crate) error: Option<String>,
}

impl LifeColumns {
    pub(crate) fn decode(self, id: TaskId) -> Result<TaskLife, Error> {
        let row = Row { id };
        let status = i16::try_from(self.status)
            .ok()
            .and_then(TaskStatus::from_code)
            .ok_or_else(|| row.damaged("status", format!("{} is no status", self.status)))?;
        let finished_at = || row.present("finished_at", self.finished_at);
        let error = || row.error(self.error.as_deref());
        let state = match status {
            TaskStatus::Pending => TaskState::Pending {
                due_at: row.present("due_at (of its dispatch)", self.due_at)?,
            },
            TaskStatus::InProgress => TaskState::InProgress {
                worker: row.present("worker_id", self.worker)?,
                started_at: row.present("started_at", self.started_at)?,
                // Kept where the error of its end will be.
                cancel_requested: self.cancel_requested.then(error).transpose()?,
            },
            TaskStatus::Completed => TaskState::Completed {
                finished_at: finished_at()?,
            },
            TaskStatus::Failed => TaskState::Failed {
                finished_at: finished_at()?,
                error: error()?,
            },
            TaskStatus::Expired => TaskState::Expired {
                finished_at: finished_at()?,
                error: error()?,
            },
            TaskStatus::Cancelled => TaskState::Cancelled {
                finished_at: finished_at()?,
                error: error()?,
            },
        };
        Ok(TaskLife {
            state,
            attempt: row.number("attempt", self.attempt)?,
            run: row.number("run", self.run)?,
            retries_left: row.number("retries_left", self.retries_left)?,
            losses_left: row.number("losses_left", self.losses_left)?,
            scheduled_at: self.scheduled_at,
            expires_at: self.expires_at,
            version: row.number("version", self.version)?,
        })
    }

    /// `worker` and `started_at` are those of the newest attempt.
    pub(crate) fn encode(life: &TaskLife, worker: Option<WorkerId>, started_at: Option<Timestamp>) -> Self {
        let mut columns = Self {
            status: i64::from(life.status().code()),
            run: i64::from(life.run),
            attempt: i64::from(life.attempt),
            version: i64::from(life.version),
            retries_left: i64::from(life.retries_left),
            losses_left: i64::from(life.losses_left),
            cancel_requested: false,
            scheduled_at: life.scheduled_at,
            expires_at: life.expires_at,
            worker,
            started_at,
            finished_at: None,
            due_at: None,
            error: None,
        };
        match &life.state {
            TaskState::Pending { due_at } => columns.due_at = Some(*due_at),
            TaskState::InProgress {
                worker,
                started_at,
                cancel_requested,
            } => {
                columns.worker = Some(*worker);
                columns.started_at = Some(*started_at);
                columns.cancel_requested = cancel_requested.is_some();
                columns.error = cancel_requested.as_ref().map(error_text);
            }
            TaskState::Completed { finished_at } => columns.finished_at = Some(*finished_at),
            TaskState::Failed { finished_at, error }
            | TaskState::Expired { finished_at, error }
            | TaskState::Cancelled { finished_at, error } => {
                columns.finished_at = Some(*finished_at);
                columns.error = Some(error_text(error));
            }
        }
        columns
    }
}

/// The stored form of an error.
pub(super) fn error_text(error: &TaskError) -> String {
    serde_json::to_string(error).expect("two strings always make JSON")
}

/// Names the row in what is said about it.
struct Row {
    id: TaskId,
}

impl Row {
    fn damaged(&self, column: &'static str, detail: impl Into<String>) -> Error {
        Error::Corrupt {
            table: "tasks",
            column,
            row: self.id.to_string(),
            detail: detail.into(),
        }
    }

    fn present<T>(&self, column: &'static str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.damaged(column, "it is missing in this status"))
    }

    fn number<T: TryFrom<i64>>(&self, column: &'static str, value: i64) -> Result<T, Error> {
        T::try_from(value).map_err(|_| self.damaged(column, format!("{value} is out of range")))
    }

    fn error(&self, text: Option<&str>) -> Result<TaskError, Error> {
        let text = self.present("error", text)?;
        serde_json::from_str(text).map_err(|error| self.damaged("error", error.to_string()))
    }
}
