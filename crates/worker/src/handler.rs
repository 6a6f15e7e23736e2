//! Handlers: code of a user's program that runs tasks inside the worker.

use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::task::{ErrorCode, Progress};
use orchestratum_core::{JsonText, Origin, Target, TaskId, TaskName};
use tokio_util::sync::CancellationToken;

use crate::telling::Telling;

/// Runs tasks of one name. A task may be started more than once: see [`HandlerContext::idempotency_key`].
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Returns the output, or why there is none. When the task's time is up the future is dropped, after
    /// [`HandlerContext::stopped`] and a grace; a handler that blocks its thread cannot be stopped.
    async fn handle(&self, input: JsonText, context: HandlerContext) -> Result<Handled, HandlerError>;
}

/// What a handler leaves that has done its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    pub output: JsonText,
    /// What comes next beside what the task lists: entries as a task lists them, written with its completion.
    pub follow_ups: Vec<JsonText>,
}

impl From<JsonText> for Handled {
    fn from(output: JsonText) -> Self {
        Self {
            output,
            follow_ups: Vec::new(),
        }
    }
}

/// What a handler may know about the attempt it makes.
#[derive(Debug, Clone)]
pub struct HandlerContext {
    pub task: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub attempt: u32,
    pub run: u32,
    /// The caller's trace and request, for what the handler sends to others.
    pub origin: Origin,
    pub(crate) stopping: CancellationToken,
    pub(crate) telling: Arc<Telling>,
}

impl HandlerContext {
    /// The same for every attempt of a run: give it to the outside world, so that an effect happens once.
    pub fn idempotency_key(&self) -> String {
        idempotency_key(self.task, self.run)
    }

    /// Completes when the handler should come to an end: cancelled, out of time, or the worker stops.
    pub async fn stopped(&self) {
        self.stopping.cancelled().await;
    }

    pub fn is_stopped(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Cancelled when [`stopped`](Self::stopped) completes, for code that takes a token.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Tells how far the attempt is. Only the last counts, and it goes out once a second at most.
    pub fn progress(&self, progress: Progress) {
        self.telling.progress(progress);
    }

    /// Writes a line to the log of the task, which is bounded (`worker.log_max_bytes`).
    pub fn log(&self, line: &str) {
        self.telling.line(line);
    }
}

pub(crate) fn idempotency_key(task: TaskId, run: u32) -> String {
    format!("{task}-{run}")
}

/// Why a handler has no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// It may go better the next time, if the task has retries left.
    #[error("{0}")]
    Retryable(String),
    /// It would be the same again.
    #[error("{0}")]
    Permanent(String),
    /// Either of these, with a short word for a program that decides by it.
    #[error("{message}")]
    Coded {
        message: String,
        retryable: bool,
        code: ErrorCode,
    },
    /// Something that it waited for took too long. It may go better the next time.
    #[error("{0}")]
    TimedOut(String),
    /// Nobody here can do that. It may be there the next time.
    #[error("{0}")]
    NotFound(String),
    /// The task is to be `Cancelled`.
    #[error("{0}")]
    Cancelled(String),
}
