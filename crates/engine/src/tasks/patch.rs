//! Patching: what may be changed depends on whether an attempt has begun.

use orchestratum_core::TaskId;
use orchestratum_core::task::{TaskEvent, TaskPatch};
use orchestratum_store::{Audit, Change, ChangeOutcome, Task};

use crate::{Engine, Error};

impl Engine {
    /// `expected_version` is that of `If-Match`.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::TaskNotFound`], [`Error::VersionMismatch`], [`Error::Refused`] when the status
    /// does not allow the change.
    pub async fn patch(
        &self,
        task: TaskId,
        patch: TaskPatch,
        expected_version: Option<u32>,
        actor: Option<String>,
    ) -> Result<Task, Error> {
        let patch = patch
            .check(&self.parts.settings.tasks.limits(), self.parts.clock.now())
            .map_err(Error::Invalid)?;
        let change = Change {
            expected_version,
            audit: Some(Audit {
                actor,
                action: "patch",
                detail: None,
            }),
            ..Change::new(task, TaskEvent::Patched(patch.life.clone()))
        };
        self.change_by_caller(Change {
            patch: Some(patch),
            ..change
        })
        .await
    }

    /// Puts a caller's event to a task and reads the result back.
    pub(crate) async fn change_by_caller(&self, change: Change) -> Result<Task, Error> {
        let task = change.task;
        match self.change(change).await? {
            ChangeOutcome::Done(_) | ChangeOutcome::AlreadyReported => self.task(task).await,
            ChangeOutcome::Refused { refusal, status } => Err(Error::Refused { task, refusal, status }),
            ChangeOutcome::VersionMismatch { current } => Err(Error::VersionMismatch { task, current }),
            ChangeOutcome::NotFound => Err(Error::TaskNotFound(task)),
        }
    }
}
