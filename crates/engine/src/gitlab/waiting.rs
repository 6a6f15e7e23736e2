//! Holding an answer until there is something to tell.

use std::time::Duration;

use orchestratum_core::TaskId;
use orchestratum_store::{Saga, TaskFilter};
use tokio::time::Instant;

use crate::{Engine, Error};

/// How soon a saga is looked at first: a commit takes about as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// And how often at least: a calculation of it may be that which needs somebody.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

impl Engine {
    /// The saga when it waits for somebody or is over, or as it is after `patience`.
    ///
    /// # Errors
    /// [`Error::SagaRefusedByGitlab`] and [`Error::SagaStuck`] where it cannot go on.
    pub async fn until_told(&self, saga: Saga, patience: Duration) -> Result<Saga, Error> {
        Ok(self.until(saga, None, patience).await?.0)
    }

    /// The same, or sooner the saga with the first task there is of those that are sought, as long as that is not over: what comes of
    /// it is waited for then.
    pub(super) async fn until(
        &self,
        mut saga: Saga,
        sought: Option<&TaskFilter>,
        patience: Duration,
    ) -> Result<(Saga, Option<TaskId>), Error> {
        let end = Instant::now() + patience;
        let (mut pause, mut found) = (FIRST_PAUSE, None);
        loop {
            let begun = Instant::now();
            let left = end.saturating_duration_since(begun).min(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            saga = self.wait_for_saga(saga.id, left).await?;
            if let Some(sought) = sought
                && let Some(task) = self.list(sought, None, 1).await?.items.pop()
            {
                found = Some(task.spec.id);
                if !task.life.status().is_terminal() {
                    // As it is with the task: its commit may be of the moment before.
                    return Ok((self.saga(saga.id).await?, found));
                }
            }
            self.check_unstuck(&saga).await?;
            // Whoever was not let wait is not let wait the next time either: this process stops.
            if saga.instance.status().rests() || begun + left >= end || begun.elapsed() < left {
                return Ok((saga, found));
            }
        }
    }
}
