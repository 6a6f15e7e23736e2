//! The one function that changes a task.
//!
//! ```text
//!               create                claim                 success
//!    (none) ───────────► Pending ───────────► InProgress ───────────► Completed
//!                         ▲   │ │                │ │ │
//!       retry, loss,      │   │ │ cancel         │ │ └── failed, nothing left ──► Failed
//!       hand-back         └───┼─┼────────────────┘ │
//!                             │ └──────► Cancelled ◄─┘ cancelled
//!                             └────────► Expired  ◄──── deadline passed
//!    Failed │ Expired │ Cancelled ── manual retry: run + 1, TTL and budgets renewed ──► Pending
//! ```
//!
//! It is pure: the stores lock a row, ask it, and write what it answers; the simulation asks the same function.
//! Every pair of state and event is written out, so that a new state or event does not compile until someone has
//! decided what it means everywhere.

use std::time::Duration;

use crate::identity::WorkerId;
use crate::task::event::{Ending, LifePatch, Report, TaskEvent};
use crate::task::life::{TaskLife, TaskState};
use crate::task::retry::RetryPolicy;
use crate::task::status::{AttemptOutcome, ErrorKind, TaskError, TaskStatus};
use crate::time::Timestamp;

/// The shortest wait after an attempt that found no handler, so that a rolling deploy has time to bring one.
pub const NOT_FOUND_MIN_WAIT: Duration = Duration::from_secs(1);

/// So many attempts of a task may be handed back for nothing: far more than deployments a task lives through. Each is a row, and a
/// worker that claims and hands back in a loop must come to an end.
pub const HANDED_BACK_FREELY: u32 = 1_000;

/// What an event did to a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub next: TaskLife,
    /// The attempt that ended with it, to be recorded with the same commit.
    pub ended: Option<EndedAttempt>,
}

/// A row for the list of attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedAttempt {
    pub attempt: u32,
    pub run: u32,
    /// `None` where no worker ever had it: a name that nobody offers.
    pub worker: Option<WorkerId>,
    pub outcome: AttemptOutcome,
    pub error: Option<TaskError>,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
}

/// Why an event changed nothing. Losing a race is such an answer, not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The report or the rescue is about an attempt that no longer is the newest one.
    #[error("attempt {reported} is not the current attempt {current}")]
    StaleAttempt { reported: u32, current: u32 },
    /// The rescue is about another worker than the one that holds the attempt.
    #[error("the attempt is held by worker {holder}")]
    HeldByAnother { holder: WorkerId },
    /// Nothing starts before its time.
    #[error("it is not due before {due_at}")]
    NotDue { due_at: Timestamp },
    /// The deadline lies ahead (for the sweeper) or behind (for a claim).
    #[error("its deadline is {expires_at}")]
    Deadline { expires_at: Timestamp },
    /// A cancel was asked for before: the task is cancelled, or will be once its worker has killed it.
    #[error("it is cancelled already")]
    AlreadyCancelled,
    /// The state does not take the event.
    #[error("a task that is {status} cannot be {wanted}")]
    Illegal { status: TaskStatus, wanted: &'static str },
}

/// Applies one event.
///
/// # Errors
/// A [`Refusal`] when the event changes nothing.
pub fn transition(
    life: &TaskLife,
    policy: &RetryPolicy,
    event: &TaskEvent,
    now: Timestamp,
) -> Result<Transition, Refusal> {
    #[cfg(feature = "mutants")]
    if let Some(mutant) = super::mutant::planted() {
        return mutant.transition(life, policy, event, now);
    }
    decide(life, policy, event, now)
}

pub(super) fn decide(
    life: &TaskLife,
    policy: &RetryPolicy,
    event: &TaskEvent,
    now: Timestamp,
) -> Result<Transition, Refusal> {
    let refuse = |wanted| {
        Err(Refusal::Illegal {
            status: life.status(),
            wanted,
        })
    };
    match &life.state {
        TaskState::Pending { due_at } => match event {
            TaskEvent::Claimed { worker } => claim(life, *due_at, *worker, now),
            TaskEvent::Reported(report) => Err(stale(life, report.attempt)),
            TaskEvent::WorkerLost { attempt, .. } => Err(stale(life, *attempt)),
            TaskEvent::DeadlinePassed => expire_pending(life, now),
            TaskEvent::NameNotOffered { message } => name_not_offered(life, policy, message, now),
            TaskEvent::CancelRequested { reason } => Ok(moved(life, cancelled(cancellation(reason.as_deref()), now))),
            TaskEvent::RetryRequested { .. } => refuse("retried"),
            TaskEvent::Patched(patch) => Ok(patch_pending(life, *due_at, patch)),
        },
        TaskState::InProgress {
            worker,
            started_at,
            cancel_requested,
        } => {
            let held = Held {
                worker: *worker,
                started_at: *started_at,
                cancel_requested: cancel_requested.clone(),
            };
            match event {
                TaskEvent::Claimed { .. } => refuse("claimed"),
                TaskEvent::Reported(report) => held.reported(life, policy, report, now),
                TaskEvent::WorkerLost { worker, attempt } => held.lost(life, *worker, *attempt, now),
                TaskEvent::DeadlinePassed => held.deadline_passed(life, now),
                TaskEvent::NameNotOffered { .. } => refuse("declared without a handler"),
                TaskEvent::CancelRequested { reason } => held.cancel_requested(life, reason.as_deref()),
                TaskEvent::RetryRequested { .. } => refuse("retried"),
                TaskEvent::Patched(patch) => patch_running(life, patch),
            }
        }
        TaskState::Completed { .. } => match event {
            TaskEvent::Claimed { .. } => refuse("claimed"),
            TaskEvent::Reported(report) => Err(stale(life, report.attempt)),
            TaskEvent::WorkerLost { attempt, .. } => Err(stale(life, *attempt)),
            TaskEvent::DeadlinePassed => refuse("expired"),
            TaskEvent::NameNotOffered { .. } => refuse("declared without a handler"),
            TaskEvent::CancelRequested { .. } => refuse("cancelled"),
            TaskEvent::RetryRequested { .. } => refuse("retried"),
            TaskEvent::Patched(_) => refuse("patched"),
        },
        TaskState::Failed { finished_at, .. }
        | TaskState::Expired { finished_at, .. }
        | TaskState::Cancelled { finished_at, .. } => match event {
            TaskEvent::Claimed { .. } => refuse("claimed"),
            TaskEvent::Reported(report) => Err(stale(life, report.attempt)),
            TaskEvent::WorkerLost { attempt, .. } => Err(stale(life, *attempt)),
            TaskEvent::DeadlinePassed => refuse("expired"),
            TaskEvent::NameNotOffered { .. } => refuse("declared without a handler"),
            TaskEvent::CancelRequested { .. } if life.status() == TaskStatus::Cancelled => {
                Err(Refusal::AlreadyCancelled)
            }
            TaskEvent::CancelRequested { .. } => refuse("cancelled"),
            // A request that was long on its way carries a `now` from before the end of the run it follows.
            TaskEvent::RetryRequested { ttl } => Ok(rerun(life, policy, *ttl, now.max(*finished_at))),
            TaskEvent::Patched(_) => refuse("patched"),
        },
    }
}

/// The task in its next state, everything else as it was.
fn moved(life: &TaskLife, state: TaskState) -> Transition {
    Transition {
        next: TaskLife {
            state,
            version: life.version + 1,
            ..life.clone()
        },
        ended: None,
    }
}

fn stale(life: &TaskLife, reported: u32) -> Refusal {
    Refusal::StaleAttempt {
        reported,
        current: life.attempt,
    }
}

fn cancellation(reason: Option<&str>) -> TaskError {
    TaskError::new(ErrorKind::Cancelled, reason.unwrap_or("cancelled on request"))
}

fn cancelled(error: TaskError, now: Timestamp) -> TaskState {
    TaskState::Cancelled {
        finished_at: now,
        error,
    }
}

fn expired(life: &TaskLife, now: Timestamp) -> TaskState {
    let message = format!("the time-to-live ended at {}", life.expires_at);
    TaskState::Expired {
        finished_at: now,
        error: TaskError::new(ErrorKind::Expired, message),
    }
}

fn claim(life: &TaskLife, due_at: Timestamp, worker: WorkerId, now: Timestamp) -> Result<Transition, Refusal> {
    if now < due_at {
        return Err(Refusal::NotDue { due_at });
    }
    if now >= life.expires_at {
        return Err(Refusal::Deadline {
            expires_at: life.expires_at,
        });
    }
    let mut claimed = moved(
        life,
        TaskState::InProgress {
            worker,
            started_at: now,
            cancel_requested: None,
        },
    );
    claimed.next.attempt += 1;
    Ok(claimed)
}

fn expire_pending(life: &TaskLife, now: Timestamp) -> Result<Transition, Refusal> {
    if now < life.expires_at {
        return Err(Refusal::Deadline {
            expires_at: life.expires_at,
        });
    }
    Ok(moved(life, expired(life, now)))
}

/// An attempt that nobody made: it has a number and a record like any other, so that the budget and the history agree.
fn name_not_offered(
    life: &TaskLife,
    policy: &RetryPolicy,
    message: &str,
    now: Timestamp,
) -> Result<Transition, Refusal> {
    if now >= life.expires_at {
        return Err(Refusal::Deadline {
            expires_at: life.expires_at,
        });
    }
    let error = TaskError::new(ErrorKind::NotFound, message);
    let attempted = TaskLife {
        attempt: life.attempt + 1,
        ..life.clone()
    };
    let ended = EndedAttempt {
        attempt: attempted.attempt,
        run: life.run,
        worker: None,
        outcome: AttemptOutcome::NotFound,
        error: Some(error.clone()),
        started_at: now,
        ended_at: now,
    };
    let next = retry_or_fail(&attempted, policy, error, 0.0, now);
    Ok(Transition {
        next,
        ended: Some(ended),
    })
}

fn patch_pending(life: &TaskLife, due_at: Timestamp, patch: &LifePatch) -> Transition {
    let ttl = patch
        .ttl
        .unwrap_or_else(|| life.expires_at.saturating_since(life.scheduled_at));
    let scheduled_at = patch.scheduled_at.unwrap_or(life.scheduled_at);
    // A task that waits for a back-off keeps waiting unless its time itself is changed.
    let due_at = if patch.scheduled_at.is_some() {
        scheduled_at
    } else {
        due_at
    };
    let mut patched = moved(life, TaskState::Pending { due_at });
    patched.next.scheduled_at = scheduled_at;
    patched.next.expires_at = scheduled_at + ttl;
    patched.next.retries_left = patch.max_retries.unwrap_or(life.retries_left);
    patched
}

fn rerun(life: &TaskLife, policy: &RetryPolicy, ttl: Duration, now: Timestamp) -> Transition {
    let renewed = TaskLife::new(*policy, now, ttl);
    Transition {
        next: TaskLife {
            run: life.run + 1,
            attempt: life.attempt,
            version: life.version + 1,
            ..renewed
        },
        ended: None,
    }
}

/// The next life after a failed attempt: another one after the back-off, or the end.
fn retry_or_fail(life: &TaskLife, policy: &RetryPolicy, error: TaskError, chance: f64, now: Timestamp) -> TaskLife {
    if life.retries_left == 0 {
        return moved(
            life,
            TaskState::Failed {
                finished_at: now,
                error,
            },
        )
        .next;
    }
    let failures = u32::from(policy.max_retries.saturating_sub(life.retries_left)) + 1;
    let mut wait = policy.backoff.wait(failures, chance);
    if error.kind == ErrorKind::NotFound {
        wait = wait.max(NOT_FOUND_MIN_WAIT);
    }
    let mut next = moved(life, TaskState::Pending { due_at: now + wait }).next;
    next.retries_left -= 1;
    next
}

/// The attempt that is going on.
struct Held {
    worker: WorkerId,
    started_at: Timestamp,
    cancel_requested: Option<TaskError>,
}

impl Held {
    fn end(
        &self,
        life: &TaskLife,
        next: TaskLife,
        outcome: AttemptOutcome,
        error: Option<TaskError>,
        now: Timestamp,
    ) -> Transition {
        let ended = EndedAttempt {
            attempt: life.attempt,
            run: life.run,
            worker: Some(self.worker),
            outcome,
            error,
            started_at: self.started_at,
            ended_at: now,
        };
        Transition {
            next,
            ended: Some(ended),
        }
    }

    fn reported(
        &self,
        life: &TaskLife,
        policy: &RetryPolicy,
        report: &Report,
        now: Timestamp,
    ) -> Result<Transition, Refusal> {
        if report.attempt != life.attempt {
            return Err(stale(life, report.attempt));
        }
        let end_for_good = |error: TaskError| (self.for_good(life, error.clone(), now), Some(error));
        let fail = |error: TaskError| {
            let next = self.after_failure(life, policy, error.clone(), report.chance, now);
            (next, Some(error))
        };
        let for_good = |kind, message: &str| end_for_good(TaskError::new(kind, message));
        let failed = |kind, message: &str| fail(TaskError::new(kind, message));
        let (next, error) = match &report.ending {
            // It counts even when a cancel was asked for or the deadline has just passed: the work is done, and the
            // fence is still open.
            Ending::Success => (moved(life, TaskState::Completed { finished_at: now }).next, None),
            Ending::Failed {
                message,
                retryable,
                code,
            } => {
                let error = TaskError::new(ErrorKind::Failed, message).with_code(code.clone());
                if *retryable { fail(error) } else { end_for_good(error) }
            }
            Ending::OutputNotStorable { message } => for_good(ErrorKind::OutputNotStorable, message),
            Ending::CompileError { message } => for_good(ErrorKind::CompileError, message),
            Ending::UnknownEnvironment { message } => for_good(ErrorKind::UnknownEnvironment, message),
            Ending::NotGranted { message } => for_good(ErrorKind::NotGranted, message),
            Ending::OutOfMemory { message } => failed(ErrorKind::OutOfMemory, message),
            Ending::NotFound { message } => failed(ErrorKind::NotFound, message),
            Ending::TimedOut { message } => failed(ErrorKind::TimedOut, message),
            Ending::Expired { message } => {
                let error = TaskError::new(ErrorKind::Expired, message);
                let state = TaskState::Expired {
                    finished_at: now,
                    error: error.clone(),
                };
                (moved(life, state).next, Some(error))
            }
            Ending::Cancelled { message } => {
                // Whoever asked for it knows better than the worker why.
                let why = self
                    .cancel_requested
                    .clone()
                    .unwrap_or_else(|| cancellation(Some(message)));
                (moved(life, cancelled(why.clone(), now)).next, Some(why))
            }
            Ending::Released { .. } if life.attempt > HANDED_BACK_FREELY => {
                let message = format!("attempt {} was handed back, and no losses are left", life.attempt);
                (
                    self.after_loss(life, TaskError::new(ErrorKind::Lost, message), now),
                    None,
                )
            }
            Ending::Released { .. } => (self.hand_back(life, now), None),
        };
        Ok(self.end(life, next, report.ending.outcome(), error, now))
    }

    /// A cancelled attempt is never retried, and neither is one whose task has no time left.
    fn after_failure(
        &self,
        life: &TaskLife,
        policy: &RetryPolicy,
        error: TaskError,
        chance: f64,
        now: Timestamp,
    ) -> TaskLife {
        if let Some(why) = &self.cancel_requested {
            moved(life, cancelled(why.clone(), now)).next
        } else if now >= life.expires_at {
            moved(life, expired(life, now)).next
        } else {
            retry_or_fail(life, policy, error, chance, now)
        }
    }

    fn for_good(&self, life: &TaskLife, error: TaskError, now: Timestamp) -> TaskLife {
        let state = if let Some(why) = &self.cancel_requested {
            cancelled(why.clone(), now)
        } else {
            TaskState::Failed {
                finished_at: now,
                error,
            }
        };
        moved(life, state).next
    }

    fn hand_back(&self, life: &TaskLife, now: Timestamp) -> TaskLife {
        let state = if let Some(why) = &self.cancel_requested {
            cancelled(why.clone(), now)
        } else if now >= life.expires_at {
            expired(life, now)
        } else {
            TaskState::Pending { due_at: now }
        };
        moved(life, state).next
    }

    fn lost(&self, life: &TaskLife, worker: WorkerId, attempt: u32, now: Timestamp) -> Result<Transition, Refusal> {
        if attempt != life.attempt {
            return Err(stale(life, attempt));
        }
        if worker != self.worker {
            return Err(Refusal::HeldByAnother { holder: self.worker });
        }
        let error = TaskError::new(ErrorKind::Lost, format!("worker {worker} stopped renewing its lease"));
        let next = self.after_loss(life, error.clone(), now);
        Ok(self.end(life, next, AttemptOutcome::Lost, Some(error), now))
    }

    fn after_loss(&self, life: &TaskLife, error: TaskError, now: Timestamp) -> TaskLife {
        if self.cancel_requested.is_some() || now >= life.expires_at {
            self.hand_back(life, now)
        } else if life.losses_left == 0 {
            let finished_at = now;
            moved(life, TaskState::Failed { finished_at, error }).next
        } else {
            let mut next = self.hand_back(life, now);
            next.losses_left -= 1;
            next
        }
    }

    /// The worker should have reported by itself; the sweeper closes the fence in its place.
    fn deadline_passed(&self, life: &TaskLife, now: Timestamp) -> Result<Transition, Refusal> {
        if now < life.expires_at {
            return Err(Refusal::Deadline {
                expires_at: life.expires_at,
            });
        }
        let error = TaskError::new(ErrorKind::Expired, "the worker did not report by the deadline");
        let next = moved(life, expired(life, now)).next;
        Ok(self.end(life, next, AttemptOutcome::TimedOut, Some(error), now))
    }

    /// The fence stays open: a success that is reported before the kill still counts. The first reason
    /// stays: whoever repeats a cancel has nothing new to say.
    fn cancel_requested(&self, life: &TaskLife, reason: Option<&str>) -> Result<Transition, Refusal> {
        if self.cancel_requested.is_some() {
            return Err(Refusal::AlreadyCancelled);
        }
        Ok(moved(
            life,
            TaskState::InProgress {
                worker: self.worker,
                started_at: self.started_at,
                cancel_requested: Some(cancellation(reason)),
            },
        ))
    }
}

/// While an attempt runs, only the deadline of the task may still move.
fn patch_running(life: &TaskLife, patch: &LifePatch) -> Result<Transition, Refusal> {
    if patch.touches_what_runs || patch.max_retries.is_some() || patch.scheduled_at.is_some() {
        return Err(Refusal::Illegal {
            status: TaskStatus::InProgress,
            wanted: "patched in these fields",
        });
    }
    let mut patched = moved(life, life.state.clone());
    if let Some(ttl) = patch.ttl {
        patched.next.expires_at = life.scheduled_at + ttl;
    }
    Ok(patched)
}
