//! Cancelling: a pending task is over at once, a running one when its worker has killed it.

use orchestratum_core::TaskId;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{Audit, Change, Task};

use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Refused`] when the task is over.
    pub async fn cancel(&self, task: TaskId, reason: Option<String>, actor: Option<String>) -> Result<Task, Error> {
        let audit = Audit {
            actor,
            action: "cancel",
            detail: reason.clone(),
        };
        let change = Change {
            audit: Some(audit),
            ..Change::new(task, TaskEvent::CancelRequested { reason })
        };
        self.change_by_caller(change).await
    }
}
