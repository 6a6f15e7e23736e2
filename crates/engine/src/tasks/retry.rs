//! A manual retry: another run of a task that did not succeed, with renewed budgets, edited where the caller wishes.

use orchestratum_core::task::{TaskEvent, TaskPatch};
use orchestratum_core::{JsonText, TaskId};
use orchestratum_store::{Audit, Change, Task};

use crate::{Engine, Error};

/// What a retry may edit; `None` keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetryTask {
    pub input: Option<JsonText>,
    pub target: Option<String>,
    pub ttl_seconds: Option<f64>,
    pub timeout_seconds: Option<Option<f64>>,
    /// `Some(None)` removes them.
    pub limits: Option<Option<JsonText>>,
}

impl Engine {
    /// # Errors
    /// [`Error::Invalid`], [`Error::TaskNotFound`], [`Error::Refused`] unless the task is Failed, Expired or Cancelled.
    pub async fn retry(&self, task: TaskId, edit: RetryTask, actor: Option<String>) -> Result<Task, Error> {
        let found = self.task(task).await?;
        let patch = TaskPatch {
            input: edit.input,
            target: edit.target,
            ttl_seconds: edit.ttl_seconds,
            timeout_seconds: edit.timeout_seconds,
            limits: edit.limits,
            ..TaskPatch::default()
        };
        let patch = patch
            .check(
                &found.spec.name,
                &self.parts.settings.tasks.limits(),
                self.parts.clock.now(),
            )
            .map_err(Error::Invalid)?;
        // The time-to-live is renewed as it was asked for at first.
        let ttl = patch.life.ttl.unwrap_or(found.spec.ttl);
        let change = Change {
            patch: Some(patch),
            audit: Some(Audit {
                actor,
                action: "retry",
                detail: None,
            }),
            ..Change::new(task, TaskEvent::RetryRequested { ttl })
        };
        self.change_by_caller(change).await
    }
}
