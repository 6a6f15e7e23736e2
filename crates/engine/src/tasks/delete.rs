//! Deleting a task that is over.

use orchestratum_core::TaskId;
use orchestratum_core::task::Refusal;
use orchestratum_store::{Audit, DeleteOutcome};

use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Refused`] while the task is not over.
    pub async fn delete(&self, task: TaskId, actor: Option<String>) -> Result<(), Error> {
        let audit = Audit {
            actor,
            action: "delete",
            detail: None,
        };
        match self.parts.store.delete(task, &audit, self.parts.clock.now()).await? {
            DeleteOutcome::Deleted => {
                self.parts.holders.forget(task);
                Ok(())
            }
            DeleteOutcome::NotTerminal { status } => Err(Error::Refused {
                task,
                refusal: Refusal::Illegal {
                    status,
                    wanted: "deleted",
                },
                status,
            }),
            DeleteOutcome::NotFound => Err(Error::TaskNotFound(task)),
        }
    }
}
