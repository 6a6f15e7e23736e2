//! Deliberate bugs: the proof that the simulation bites. Compiled only with the feature `mutants`, which nothing that
//! is shipped enables, and planted per thread so that tests do not disturb each other.

use std::cell::Cell;

use crate::task::event::TaskEvent;
use crate::task::life::{TaskLife, TaskState};
use crate::task::retry::RetryPolicy;
use crate::task::transition::{Refusal, Transition, decide};
use crate::time::Timestamp;

/// One wrong reading of the rules. Each sees another world than the one that is, and then decides correctly in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A report counts whatever attempt it is about.
    ReportWithoutFence,
    /// A rescue ends whichever attempt is going on.
    RescueWithoutFence,
    /// A task that is over can still expire and be cancelled.
    TerminalOverwritable,
    /// A cancel request is forgotten when the attempt fails.
    CancelledAttemptRetried,
    /// A retry does not use the budget.
    RetryBudgetForgotten,
    /// A claim does not move the fence.
    ClaimKeepsFence,
    /// A claim does not look at the time the task is due.
    ClaimBeforeDue,
}

thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a bug in this thread, or takes it out.
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

pub(super) fn planted() -> Option<Mutant> {
    PLANTED.get()
}

impl Mutant {
    pub(super) fn transition(
        self,
        life: &TaskLife,
        policy: &RetryPolicy,
        event: &TaskEvent,
        now: Timestamp,
    ) -> Result<Transition, Refusal> {
        let mut life = life.clone();
        let mut event = event.clone();
        match self {
            Self::ReportWithoutFence => {
                if let TaskEvent::Reported(report) = &mut event {
                    report.attempt = life.attempt;
                }
            }
            Self::RescueWithoutFence => {
                if let (TaskEvent::WorkerLost { worker, attempt }, TaskState::InProgress { worker: holder, .. }) =
                    (&mut event, &life.state)
                {
                    (*worker, *attempt) = (*holder, life.attempt);
                }
            }
            Self::TerminalOverwritable => {
                let ends = matches!(event, TaskEvent::DeadlinePassed | TaskEvent::CancelRequested { .. });
                if ends && life.status().is_terminal() {
                    life.state = TaskState::Pending { due_at: now };
                }
            }
            Self::CancelledAttemptRetried => {
                if let (
                    TaskEvent::Reported(_) | TaskEvent::WorkerLost { .. },
                    TaskState::InProgress { cancel_requested, .. },
                ) = (&event, &mut life.state)
                {
                    *cancel_requested = None;
                }
            }
            Self::RetryBudgetForgotten | Self::ClaimKeepsFence => {}
            Self::ClaimBeforeDue => {
                if let (TaskEvent::Claimed { .. }, TaskState::Pending { due_at }) = (&event, &mut life.state) {
                    *due_at = now;
                }
            }
        }
        let mut transition = decide(&life, policy, &event, now)?;
        if self == Self::RetryBudgetForgotten && matches!(event, TaskEvent::Reported(_)) {
            transition.next.retries_left = life.retries_left;
        }
        if self == Self::ClaimKeepsFence && matches!(event, TaskEvent::Claimed { .. }) && life.attempt > 0 {
            transition.next.attempt = life.attempt;
        }
        Ok(transition)
    }
}
