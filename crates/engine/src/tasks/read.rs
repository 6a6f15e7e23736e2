//! Reading one task, and waiting for its end.

use std::num::NonZeroU32;
use std::time::Duration;

use orchestratum_core::TaskId;
use orchestratum_store::{AttemptPage, LogStream, Task, TaskLogs};

use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::TaskNotFound`].
    pub async fn task(&self, task: TaskId) -> Result<Task, Error> {
        self.parts.store.task(task).await?.ok_or(Error::TaskNotFound(task))
    }

    /// The task when it is over, or as it is after `patience`, or when [`stop_waiting`](Self::stop_waiting) was called.
    pub async fn wait(&self, task: TaskId, patience: Duration) -> Result<Task, Error> {
        // Armed before the first look, so that an end between the look and the wait is not missed.
        let mut waiting = self.parts.waiters.wait_for(task);
        let found = self.task(task).await?;
        if found.life.status().is_terminal() {
            return Ok(found);
        }
        // Many may wait for long, each for a task with a large input.
        drop(found);
        let _ = tokio::time::timeout(patience, waiting.until_ended()).await;
        self.task(task).await
    }

    /// Ends all waiting and following, that of calls to come included: a process that stops answers at once with what is
    /// known.
    pub fn stop_waiting(&self) {
        self.parts.waiters.give_up();
        self.parts.saga_waiters.give_up();
        self.parts.follows.give_up();
        self.parts.pollers.give_up();
    }

    /// The task, and a page of its ended attempts, oldest first: those after the `next` of the page before, or after 0.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`].
    pub async fn attempts(&self, task: TaskId, after: u32) -> Result<(Task, AttemptPage), Error> {
        let found = self.task(task).await?;
        Ok((found, self.parts.store.attempts(task, after).await?))
    }

    /// What the attempts wrote.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::AttemptNotFound`].
    pub async fn logs(
        &self,
        task: TaskId,
        attempt: Option<NonZeroU32>,
        stream: Option<LogStream>,
    ) -> Result<TaskLogs, Error> {
        let attempt = attempt.map(NonZeroU32::get);
        let logs = self.parts.store.logs(task, attempt, stream).await?;
        if logs.chunks.is_empty() {
            let newest = self.task(task).await?.life.attempt;
            if let Some(attempt) = attempt.filter(|attempt| *attempt > newest) {
                return Err(Error::AttemptNotFound { task, attempt, newest });
            }
        }
        Ok(logs)
    }
}
