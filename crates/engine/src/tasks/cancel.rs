//! Cancelling: a pending task is over at once, a running one when its worker has killed it.

use orchestratum_core::TaskId;
use orchestratum_core::task::{Refusal, TaskEvent};
use orchestratum_store::{Audit, Change, Task};

use crate::{Engine, Error};

/// What a cancel found. The task is as it stands afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum CancelledTask {
    /// It is cancelled, or its worker is told to kill it.
    Now(Task),
    /// The same was asked for before: nothing was done, and the first reason stays.
    Before(Task),
}

impl Engine {
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Refused`] when the task ended in another way.
    pub async fn cancel(
        &self,
        task: TaskId,
        reason: Option<String>,
        actor: Option<String>,
    ) -> Result<CancelledTask, Error> {
        let audit = Audit {
            actor,
            action: "cancel",
            detail: reason.clone(),
        };
        let change = Change {
            audit: Some(audit),
            ..Change::new(task, TaskEvent::CancelRequested { reason })
        };
        match self.change_by_caller(change).await {
            Ok(cancelled) => Ok(CancelledTask::Now(cancelled)),
            Err(Error::Refused {
                refusal: Refusal::AlreadyCancelled,
                ..
            }) => Ok(CancelledTask::Before(self.task(task).await?)),
            Err(error) => Err(error),
        }
    }
}
