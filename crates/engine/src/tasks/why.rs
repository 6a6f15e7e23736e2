//! Why a task is not running: the question every user of a queue asks first.

use orchestratum_core::task::{TaskState, TaskStatus};
use orchestratum_core::{Target, TaskId, TaskName, Timestamp, WorkerId};
use orchestratum_store::{KeyWait, NO_PROGRAMS, WorkerState};

use crate::{Engine, Error};

/// How many workers are looked at.
const WORKERS_LOOKED_AT: usize = 1_000;

/// How many tasks that are ready as well are counted: the answer must not cost more with a larger backlog.
pub const AHEAD_MAX: u64 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    Running {
        worker: WorkerId,
        since: Timestamp,
    },
    Over {
        status: TaskStatus,
    },
    /// The scheduled time lies ahead.
    DueLater {
        due_at: Timestamp,
    },
    /// An attempt failed; the back-off goes on.
    RetryLater {
        due_at: Timestamp,
        failed_attempts: u32,
    },
    /// It waits for a place of its concurrency key or a start of its rate key.
    WaitsForKey(KeyWait),
    /// A person paused the target.
    Paused {
        target: Target,
    },
    /// Tasks of the target start only so often, and no start is left.
    TargetRateLimited {
        target: Target,
        opens_at: Timestamp,
    },
    /// No live worker serves the target.
    NoWorker {
        target: Target,
    },
    /// Live workers serve the target, but none offers the name.
    NameNotOffered {
        target: Target,
        name: TaskName,
        /// How many of them run no programs.
        without_programs: usize,
    },
    /// Workers serve it and are busy, or are about to take it.
    WaitingForWorker {
        target: Target,
        workers: usize,
        /// [`AHEAD_MAX`] stands for more, too.
        ahead: u64,
    },
}

impl Engine {
    /// # Errors
    /// [`Error::TaskNotFound`].
    pub async fn why(&self, task: TaskId) -> Result<Why, Error> {
        let found = self.task(task).await?;
        let status = found.life.status();
        let due_at = match found.life.state {
            TaskState::InProgress { worker, started_at, .. } => {
                return Ok(Why::Running {
                    worker,
                    since: started_at,
                });
            }
            TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Expired { .. }
            | TaskState::Cancelled { .. } => return Ok(Why::Over { status }),
            TaskState::Pending { due_at } => due_at,
        };
        let asks = found
            .spec
            .conditions
            .as_ref()
            .is_some_and(|conditions| conditions.gates());
        let (target, name) = (found.spec.target, found.spec.name);
        if due_at > self.parts.clock.now() {
            return Ok(if due_at > found.life.scheduled_at {
                Why::RetryLater {
                    due_at,
                    failed_attempts: found.life.attempt,
                }
            } else {
                Why::DueLater { due_at }
            });
        }
        if asks && let Some(wait) = self.parts.store.key_wait(task).await? {
            return Ok(Why::WaitsForKey(wait));
        }
        if self.parts.store.is_paused(&target).await? {
            return Ok(Why::Paused { target });
        }
        let workers = self.parts.store.workers(WORKERS_LOOKED_AT).await?;
        let serving: Vec<_> = workers
            .iter()
            .filter(|worker| worker.state == WorkerState::Live && worker.registration.targets.contains(&target))
            .collect();
        if serving.is_empty() {
            return Ok(Why::NoWorker { target });
        }
        let offering = serving
            .iter()
            .filter(|worker| worker.registration.names.contains(&name))
            .count();
        if offering == 0 {
            let without_programs = serving
                .iter()
                .filter(|worker| worker.registration.isolation == NO_PROGRAMS)
                .count();
            return Ok(Why::NameNotOffered {
                target,
                name,
                without_programs,
            });
        }
        self.ready(target, offering).await
    }

    /// Of a ready task that so many workers offer.
    async fn ready(&self, target: Target, workers: usize) -> Result<Why, Error> {
        let now = self.parts.clock.now();
        if let Some(bucket) = self.parts.store.rate(&target).await?
            && bucket.available(now) == 0
        {
            let opens_at = bucket.opens_at();
            return Ok(Why::TargetRateLimited { target, opens_at });
        }
        // And the task itself.
        let most = usize::try_from(AHEAD_MAX).unwrap_or(usize::MAX).saturating_add(1);
        let ready = self.parts.store.ready(&target, most).await?;
        Ok(Why::WaitingForWorker {
            target,
            workers,
            ahead: ready.saturating_sub(1),
        })
    }
}
