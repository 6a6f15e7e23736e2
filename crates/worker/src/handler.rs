//! Handlers: code of a user's program that runs tasks inside the worker.

use async_trait::async_trait;
use orchestratum_core::{JsonText, Origin, TaskId, TaskName};
use tokio_util::sync::CancellationToken;

/// Runs tasks of one name. A task may be started more than once: see [`HandlerContext::idempotency_key`].
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Returns the output, or why there is none. When the task's time is up the future is dropped, after
    /// [`HandlerContext::stopped`] and a grace; a handler that blocks its thread cannot be stopped.
    async fn handle(&self, input: JsonText, context: HandlerContext) -> Result<JsonText, HandlerError>;
}

/// What a handler may know about the attempt it makes.
#[derive(Debug, Clone)]
pub struct HandlerContext {
    pub task: TaskId,
    pub name: TaskName,
    pub attempt: u32,
    pub run: u32,
    /// The caller's trace and request, for what the handler sends to others.
    pub origin: Origin,
    pub(crate) stopping: CancellationToken,
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
    /// The task is to be `Cancelled`.
    #[error("{0}")]
    Cancelled(String),
}
