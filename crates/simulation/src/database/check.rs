//! What is checked with every write. It is a second reading of the rules, written apart from the transition function,
//! and it only looks at the task the write touched, so that a million schedules a minute stay possible.

use orchestratum_core::task::{Ending, RetryPolicy, TaskEvent, TaskLife, TaskState, TaskStatus};

use super::{By, Database};
use crate::invariant::Invariant;
use crate::limits::{EXPIRY_GRACE, Micros};

/// What the checker remembers of a task and no row says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ghost {
    /// Attempts of this run that used a retry, and how many the budget allows.
    failures: u32,
    failures_allowed: u32,
    losses: u32,
    losses_allowed: u32,
    last_ended_at: Micros,
    /// A client has named the time of the next attempt. Its request may be older than the end of the last one, so the
    /// times in the rows may overlap; the attempts do not.
    time_named: bool,
}

impl Ghost {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self {
            failures: 0,
            failures_allowed: u32::from(policy.max_retries) + 1,
            losses: 0,
            losses_allowed: u32::from(policy.max_losses) + 1,
            last_ended_at: 0,
            time_named: false,
        }
    }
}

/// Where an event may lead; written out by hand.
fn may_lead_to(before: &TaskLife, event: &TaskEvent, to: TaskStatus) -> bool {
    use TaskStatus::{Cancelled, Completed, Expired, Failed, InProgress, Pending};
    match &before.state {
        TaskState::Pending { .. } => match event {
            TaskEvent::Claimed { .. } => to == InProgress,
            TaskEvent::DeadlinePassed => to == Expired,
            TaskEvent::NameNotOffered { .. } => matches!(to, Pending | Failed),
            TaskEvent::CancelRequested { .. } => to == Cancelled,
            TaskEvent::Patched(_) => to == Pending,
            TaskEvent::Reported(_) | TaskEvent::WorkerLost { .. } | TaskEvent::RetryRequested { .. } => false,
        },
        TaskState::InProgress { cancel_requested, .. } => match event {
            TaskEvent::Reported(report) => match (&report.ending, cancel_requested.is_some()) {
                (Ending::Success, _) => to == Completed,
                (Ending::Expired { .. }, _) => to == Expired,
                (Ending::Cancelled { .. }, _) | (_, true) => to == Cancelled,
                (
                    Ending::Failed { retryable: false, .. }
                    | Ending::OutputNotStorable { .. }
                    | Ending::CompileError { .. }
                    | Ending::UnknownEnvironment { .. }
                    | Ending::NotGranted { .. },
                    false,
                ) => to == Failed,
                (Ending::Released { .. }, false) => matches!(to, Pending | Expired),
                (
                    Ending::Failed { retryable: true, .. }
                    | Ending::OutOfMemory { .. }
                    | Ending::NotFound { .. }
                    | Ending::TimedOut { .. },
                    false,
                ) => matches!(to, Pending | Failed | Expired),
            },
            TaskEvent::WorkerLost { .. } if cancel_requested.is_some() => to == Cancelled,
            TaskEvent::WorkerLost { .. } => matches!(to, Pending | Failed | Expired),
            TaskEvent::DeadlinePassed => to == Expired,
            TaskEvent::CancelRequested { .. } | TaskEvent::Patched(_) => to == InProgress,
            TaskEvent::Claimed { .. } | TaskEvent::NameNotOffered { .. } | TaskEvent::RetryRequested { .. } => false,
        },
        TaskState::Completed { .. } => false,
        TaskState::Failed { .. } | TaskState::Expired { .. } | TaskState::Cancelled { .. } => {
            matches!(event, TaskEvent::RetryRequested { .. }) && to == Pending
        }
    }
}

/// Whether the attempt that ended here counts against `max_retries`, if it counts at all.
fn uses_retry(event: &TaskEvent) -> bool {
    match event {
        TaskEvent::NameNotOffered { .. } => true,
        TaskEvent::Reported(report) => matches!(
            report.ending,
            Ending::Failed { .. } | Ending::OutOfMemory { .. } | Ending::NotFound { .. } | Ending::TimedOut { .. }
        ),
        TaskEvent::Claimed { .. }
        | TaskEvent::WorkerLost { .. }
        | TaskEvent::DeadlinePassed
        | TaskEvent::CancelRequested { .. }
        | TaskEvent::RetryRequested { .. }
        | TaskEvent::Patched(_) => false,
    }
}

impl Database {
    pub(super) fn check(
        &mut self,
        task: usize,
        before: &TaskLife,
        event: &TaskEvent,
        ended: Option<u32>,
        now: Micros,
        by: By,
    ) {
        self.check_step(task, before, event);
        self.check_attempts(task, before, event, ended, now);
        self.check_budgets(task, before, event);
        self.check_author(task, before, event, by);
        self.check_clock(task, before, event, now);
        self.check_dispatch(task);
    }

    fn check_step(&mut self, task: usize, before: &TaskLife, event: &TaskEvent) {
        let after = &self.tasks[task].life;
        let (from, to) = (before.status(), after.status());
        let rerun = matches!(event, TaskEvent::RetryRequested { .. });
        let (runs, versions) = (after.run - before.run, after.version - before.version);
        if from.is_terminal() && !(rerun && from != TaskStatus::Completed) {
            self.violate(Invariant::TerminalIsFinal, || {
                format!("task {task} went from {from} to {to} by {event:?}")
            });
        } else if !may_lead_to(before, event, to) {
            self.violate(Invariant::RowIsFoldOfAttempts, || {
                format!("task {task} went from {:?} to {to} by {event:?}", before.state)
            });
        } else if runs != u32::from(rerun) || versions != 1 {
            self.violate(Invariant::RowIsFoldOfAttempts, || {
                format!("{event:?} moved the run of task {task} by {runs} and its version by {versions}")
            });
        }
    }

    fn check_attempts(&mut self, task: usize, before: &TaskLife, event: &TaskEvent, ended: Option<u32>, now: Micros) {
        let row = &self.tasks[task];
        let claimed = matches!(event, TaskEvent::Claimed { .. });
        let grows = u32::from(claimed || matches!(event, TaskEvent::NameNotOffered { .. }));
        let (was, is) = (before.attempt, row.life.attempt);
        let open = u32::from(row.life.status() == TaskStatus::InProgress);
        let records = row.attempts.len();
        let gapless = ended.is_none_or(|attempt| attempt as usize == records);
        let last_ended_at = row.ghost.last_ended_at;
        if is != was + grows {
            self.violate(Invariant::AttemptsAreGaplessAndBounded, || {
                format!("{event:?} moved the fence of task {task} from {was} to {is}")
            });
        } else if ended.is_some_and(|attempt| (attempt as usize) < records) {
            self.violate(Invariant::AttemptRecordedOnce, || {
                format!("an attempt of task {task} was recorded twice")
            });
        } else if !gapless || records != (is - open) as usize {
            self.violate(Invariant::RowIsFoldOfAttempts, || {
                format!("task {task} has {records} recorded attempts at fence {is}")
            });
        } else if claimed && !row.ghost.time_named && now < last_ended_at.saturating_sub(self.clock_slack) {
            self.violate(Invariant::AttemptsDoNotOverlap, || {
                format!("attempt {is} of task {task} starts before the end of the one before it")
            });
        }
        let ghost = &mut self.tasks[task].ghost;
        if ended.is_some() {
            ghost.last_ended_at = now;
        }
        match event {
            TaskEvent::Patched(patch) => ghost.time_named |= patch.scheduled_at.is_some(),
            TaskEvent::Claimed { .. } => ghost.time_named = false,
            _ => {}
        }
    }

    fn check_budgets(&mut self, task: usize, before: &TaskLife, event: &TaskEvent) {
        let row = &mut self.tasks[task];
        let (policy, after, ghost) = (row.policy, &row.life, &mut row.ghost);
        let again = before.status() == TaskStatus::InProgress && after.status() == TaskStatus::Pending;
        let not_offered_again =
            matches!(event, TaskEvent::NameNotOffered { .. }) && after.status() == TaskStatus::Pending;
        let lost = matches!(event, TaskEvent::WorkerLost { .. });
        let mut expected = (before.retries_left, before.losses_left);
        match event {
            TaskEvent::RetryRequested { .. } => {
                expected = (policy.max_retries, policy.max_losses);
                let last_ended_at = ghost.last_ended_at;
                *ghost = Ghost {
                    last_ended_at,
                    ..Ghost::new(policy)
                };
            }
            TaskEvent::Patched(patch) => {
                if let Some(retries) = patch.max_retries {
                    expected.0 = retries;
                    ghost.failures_allowed = ghost.failures + u32::from(retries) + 1;
                }
            }
            _ if uses_retry(event) => {
                ghost.failures += 1;
                if again || not_offered_again {
                    expected.0 = expected.0.saturating_sub(1);
                }
            }
            _ if lost => {
                ghost.losses += 1;
                if again {
                    expected.1 = expected.1.saturating_sub(1);
                }
            }
            _ => {}
        }
        let seen = (after.retries_left, after.losses_left);
        if ghost.failures > ghost.failures_allowed || ghost.losses > ghost.losses_allowed {
            let ghost = *ghost;
            self.violate(Invariant::AttemptsAreGaplessAndBounded, || {
                format!("task {task} has used more attempts than its budgets allow: {ghost:?}")
            });
        } else if seen != expected {
            self.violate(Invariant::RowIsFoldOfAttempts, || {
                format!("the budgets of task {task} are {seen:?} after {event:?}, not {expected:?}")
            });
        }
    }

    /// Who may end an attempt: its holder by its fence, or the rescue of a worker that is dead.
    fn check_author(&mut self, task: usize, before: &TaskLife, event: &TaskEvent, by: By) {
        let holder = match before.state {
            TaskState::InProgress { worker, .. } => Some(worker),
            _ => None,
        };
        match event {
            TaskEvent::Reported(report) => {
                let author = match by {
                    By::Worker(worker) => Some(worker),
                    By::Server => None,
                };
                if report.attempt != before.attempt || author != holder {
                    self.violate(Invariant::OldFenceLeavesNoTrace, || {
                        format!(
                            "task {task} at fence {} took a report of attempt {}",
                            before.attempt, report.attempt
                        )
                    });
                }
            }
            TaskEvent::WorkerLost { .. } => {
                let alive = holder
                    .and_then(|holder| self.worker(holder))
                    .is_some_and(|row| !row.dead);
                if alive {
                    self.violate(Invariant::AttemptsDoNotOverlap, || {
                        format!("attempt {} of task {task} was taken from a live worker", before.attempt)
                    });
                }
            }
            _ => {}
        }
        let row = &self.tasks[task];
        if row.life.status() == TaskStatus::Completed && row.output_of != Some(row.life.attempt) {
            let (output_of, attempt) = (row.output_of, row.life.attempt);
            self.violate(Invariant::OutputOfWinningAttempt, || {
                format!("task {task} completed with attempt {attempt} and the output of {output_of:?}")
            });
        }
    }

    fn check_clock(&mut self, task: usize, before: &TaskLife, event: &TaskEvent, now: Micros) {
        match (event, &before.state) {
            (TaskEvent::Claimed { .. }, TaskState::Pending { due_at }) => {
                let early = due_at.as_micros() - self.now;
                if due_at.as_micros() > now || early > self.clock_slack {
                    self.violate(Invariant::NothingStartsEarly, || {
                        format!("task {task} was claimed {early} µs before it was due")
                    });
                }
            }
            (TaskEvent::DeadlinePassed, state) => {
                let running = matches!(state, TaskState::InProgress { .. });
                let grace = if running { EXPIRY_GRACE } else { 0 };
                if self.now < before.expires_at.as_micros() + grace {
                    self.violate(Invariant::DeadlineHolds, || {
                        format!("task {task} was expired too early")
                    });
                }
            }
            _ => {}
        }
    }

    pub(super) fn check_dispatch(&mut self, task: usize) {
        let row = &self.tasks[task];
        let wanted = match row.life.state {
            TaskState::Pending { due_at } => Some((due_at.as_micros(), row.expires_at())),
            _ => None,
        };
        let seen = self.dispatches[task].map(|row| (row.due_at, row.expires_at));
        if wanted != seen {
            let status = row.life.status();
            self.violate(Invariant::OneDispatchPerPendingTask, || {
                format!("task {task} is {status}; its hand-off row is {seen:?}, not {wanted:?}")
            });
        }
    }
}
