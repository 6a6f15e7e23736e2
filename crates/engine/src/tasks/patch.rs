//! Patching: what may be changed depends on whether an attempt has begun.

use orchestratum_core::task::{CheckedPatch, TaskEvent, TaskLife, TaskPatch, transition};
use orchestratum_core::{TaskId, Timestamp};
use orchestratum_store::{Audit, Change, ChangeOutcome, Task};

use crate::{Engine, Error};

impl Engine {
    /// `expected_version` is that of `If-Match`. A patch that changes nothing is not written, so that whoever repeats one
    /// does not take the `ETag` from others.
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
        let found = self.task(task).await?;
        let now = self.parts.clock.now();
        let patch = patch
            .check(&found.spec.name, &self.parts.settings.tasks.limits(), now)
            .map_err(Error::Invalid)?;
        if expected_version.is_none_or(|expected| expected == found.life.version) && is_so_already(&found, &patch, now)
        {
            return Ok(found);
        }
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
            ChangeOutcome::Done(_) | ChangeOutcome::AlreadyReported { .. } => self.task(task).await,
            ChangeOutcome::Refused { refusal, status } => Err(Error::Refused { task, refusal, status }),
            ChangeOutcome::VersionMismatch { current } => Err(Error::VersionMismatch { task, current }),
            ChangeOutcome::NotFound => Err(Error::TaskNotFound(task)),
        }
    }
}

/// Whether the patch is allowed, and leaves everything as it is.
fn is_so_already(found: &Task, patch: &CheckedPatch, now: Timestamp) -> bool {
    let event = TaskEvent::Patched(patch.life.clone());
    let stays = |next: TaskLife| {
        let version = found.life.version;
        TaskLife { version, ..next } == found.life
    };
    patch.leaves(&found.spec)
        && transition(&found.life, &found.spec.policy, &event, now).is_ok_and(|transition| stays(transition.next))
}
