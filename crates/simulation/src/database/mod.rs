//! The database of the simulation: the rows of the product, and statements that are atomic and nothing else.
//!
//! Each statement does what the stores do: look at the guard, ask [`transition`], write what it answers, record the
//! ended attempt, and write or delete the hand-off row, all at one instant. What lies between two statements (a stale
//! read, a lost answer, a crash) is the business of the world.

mod check;
mod fingerprint;
mod statements;

use orchestratum_core::WorkerId;
use orchestratum_core::task::{
    AttemptOutcome, EndedAttempt, Refusal, RetryPolicy, TaskEvent, TaskLife, TaskState, TaskStatus, Transition,
    transition,
};

use crate::coverage::{Coverage, EventKind, Marker};
use crate::invariant::{Invariant, Violation};
use crate::limits::{Micros, PUBLISH_AGAIN, timestamp};
use crate::mutant::{Mutant, Planted};

use check::Ghost;
pub(crate) use statements::{Claim, Claimed, Created, Held, NewTask, SweepAction};

#[derive(Debug, Clone)]
pub(crate) struct TaskRow {
    pub(crate) id: u32,
    pub(crate) life: TaskLife,
    pub(crate) policy: RetryPolicy,
    /// Its name is one that not every worker offers.
    pub(crate) rare: bool,
    pub(crate) priority: u8,
    /// The attempt that made the stored output.
    output_of: Option<u32>,
    pub(crate) attempts: Vec<EndedAttempt>,
    ghost: Ghost,
}

impl TaskRow {
    pub(crate) fn expires_at(&self) -> Micros {
        self.life.expires_at.as_micros()
    }
}

/// The hand-off row: it exists exactly while its task is pending, and deleting it is the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(crate) struct DispatchRow {
    pub(crate) due_at: Micros,
    pub(crate) expires_at: Micros,
    pub(crate) publish_at: Micros,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerRow {
    pub(crate) id: WorkerId,
    pub(crate) lease_expires_at: Micros,
    /// Final: a worker that was marked dead comes back under a new id or not at all.
    pub(crate) dead: bool,
    pub(crate) offers_rare: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRow {
    pub(crate) key: u8,
    body: u8,
    pub(crate) task: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    /// Its own clock, which nobody else sees without a delay.
    pub(crate) now: Micros,
    pub(crate) tasks: Vec<TaskRow>,
    /// By the index of the task.
    pub(crate) dispatches: Vec<Option<DispatchRow>>,
    pub(crate) workers: Vec<WorkerRow>,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) paused: bool,
    /// How far a worker's clock may run ahead of this one; more than zero only where clocks are fast.
    pub(crate) clock_slack: Micros,
    pub(crate) planted: Planted,
    pub(crate) coverage: Coverage,
    pub(crate) violation: Option<Violation>,
    /// Counts the writes, so that others can tell whether to look again.
    pub(crate) writes: u64,
}

/// Who makes a change, as far as the rules care.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// An API process or a loop.
    Server,
    /// A worker that reports for itself.
    Worker(WorkerId),
}

impl Database {
    pub(crate) fn find(&self, id: u32) -> Option<usize> {
        self.tasks.iter().position(|row| row.id == id)
    }

    pub(crate) fn worker(&self, id: WorkerId) -> Option<&WorkerRow> {
        self.workers.iter().find(|row| row.id == id)
    }

    fn worker_mut(&mut self, id: WorkerId) -> Option<&mut WorkerRow> {
        self.workers.iter_mut().find(|row| row.id == id)
    }

    pub(crate) fn violate(&mut self, invariant: Invariant, detail: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                invariant,
                detail: detail(),
            });
        }
    }

    pub(crate) fn sometimes(&mut self, marker: Marker) {
        self.coverage.sometimes(marker);
    }

    /// One guarded change of one task, as every statement makes it.
    fn apply(&mut self, task: usize, event: &TaskEvent, now: Micros, by: By) -> Result<TaskStatus, Refusal> {
        let row = &mut self.tasks[task];
        let (from, kind) = (row.life.status(), EventKind::of(event));
        self.coverage.attempt(from, kind);
        let Transition { next, ended } = transition(&row.life, &row.policy, event, timestamp(now))?;
        self.coverage.accept(from, kind);
        self.writes += 1;
        let before = std::mem::replace(&mut row.life, next);
        if row.life.status() == TaskStatus::Completed {
            row.output_of = match event {
                TaskEvent::Reported(report) => Some(report.attempt),
                _ => None,
            };
        }
        let ended_attempt = ended.as_ref().map(|ended| ended.attempt);
        if let Some(ended) = ended {
            self.mark_ending(task, event, &ended);
            self.tasks[task].attempts.push(ended);
        }
        self.hand_off(task, event, now);
        self.check(task, &before, event, ended_attempt, now, by);
        Ok(self.tasks[task].life.status())
    }

    /// The hand-off row goes with the state, in the same statement.
    fn hand_off(&mut self, task: usize, event: &TaskEvent, now: Micros) {
        if self.planted.is(Mutant::PatchForgetsDispatch) && matches!(event, TaskEvent::Patched(_)) {
            return;
        }
        let row = &self.tasks[task];
        self.dispatches[task] = match row.life.state {
            TaskState::Pending { due_at } => Some(DispatchRow {
                due_at: due_at.as_micros(),
                expires_at: row.expires_at(),
                // What is due now is published by the process that commits; the feeder looks after the rest.
                publish_at: if due_at.as_micros() <= now {
                    now + PUBLISH_AGAIN
                } else {
                    now
                },
            }),
            TaskState::InProgress { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Expired { .. }
            | TaskState::Cancelled { .. } => None,
        };
    }

    fn mark_ending(&mut self, task: usize, event: &TaskEvent, ended: &EndedAttempt) {
        let life = &self.tasks[task].life;
        let status = life.status();
        let late = timestamp(self.now) >= life.expires_at;
        match ended.outcome {
            AttemptOutcome::Success if late => self.sometimes(Marker::LateSuccessAfterDeadline),
            AttemptOutcome::Lost => self.sometimes(match status {
                TaskStatus::Failed => Marker::LossesUsedUp,
                _ => Marker::TaskLost,
            }),
            AttemptOutcome::Failed if status == TaskStatus::Pending => self.sometimes(Marker::RetriedAfterBackoff),
            AttemptOutcome::Failed if status == TaskStatus::Failed && self.tasks[task].policy.max_retries > 0 => {
                self.sometimes(Marker::RetriesUsedUp);
            }
            AttemptOutcome::Cancelled => self.sometimes(Marker::CancelledWhileRunning),
            AttemptOutcome::TimedOut => self.sometimes(match event {
                TaskEvent::DeadlinePassed => Marker::ExpiredBySweeper,
                _ if status == TaskStatus::Expired => Marker::ExpiredByWorker,
                _ => Marker::TimedOut,
            }),
            AttemptOutcome::NotFound if ended.worker.is_none() => self.sometimes(Marker::NameNotOffered),
            AttemptOutcome::Success
            | AttemptOutcome::Failed
            | AttemptOutcome::NotFound
            | AttemptOutcome::OutOfMemory
            | AttemptOutcome::Released => {}
        }
    }
}
