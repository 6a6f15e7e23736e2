//! The way back: what is live is cancelled and awaited, then the stack is run, newest first and one at a time.

use super::parked::reason_max_bytes;
use super::run::Run;
use super::{CompensationChange, Effect, Note, Purpose, Rejection};
use crate::saga::definition::OnCompensationFailure;
use crate::saga::instance::{Cause, Outcome, Phase, SagaEnd, Then};
use crate::saga::mutant::{Mutant, is_planted};
use crate::task::TaskError;
use crate::text::shortened;

impl Run<'_> {
    /// Everything is to be undone.
    pub(super) fn undo(&mut self, then: Then) {
        self.leave();
        self.instance.joins.clear();
        if is_planted(Mutant::OldestUndoneFirst) {
            self.instance.stack.reverse();
        }
        if self.cancel_live() && !is_planted(Mutant::UndoneBesideLiveTasks) {
            self.instance.phase = Phase::Settling { then };
        } else {
            self.unwind(then);
        }
    }

    /// Whether there is anything live, of which each is cancelled.
    pub(super) fn cancel_live(&mut self) -> bool {
        let cancelled = self
            .instance
            .live
            .keys()
            .map(|number| Effect::CancelTask { number: *number });
        self.effects.extend(cancelled);
        !self.instance.live.is_empty()
    }

    /// Runs the newest of the stack, or goes on where there is none.
    pub(super) fn unwind(&mut self, then: Then) {
        if let Some(newest) = self.instance.stack.last() {
            let number = newest.number;
            self.effects.push(Effect::IssueTask {
                number,
                purpose: Purpose::Compensation,
                task: Box::new(newest.task.clone()),
            });
            self.compensation(number, CompensationChange::Started);
            self.instance.phase = Phase::Undoing { then };
            return;
        }
        match then {
            Then::Cancelled => self.finish(SagaEnd::Cancelled),
            Then::Enter { target, event } => {
                self.instance.phase = Phase::Running;
                let entered = self.attempt(|run| run.enter(&target, &event));
                if let Err(failure) = entered {
                    // What was done is undone: there is no way back to the state before. So it is entered without what it starts.
                    self.arrive(&target, &event);
                    let entry = self.instance.entry;
                    self.park(Cause::Entry { entry, event }, failure);
                }
            }
        }
    }

    /// Whether this is the compensation whose turn it is.
    pub(super) fn newest(&self, number: u32) -> Result<(), Rejection> {
        match self.instance.stack.last() {
            Some(newest) if newest.number == number => Ok(()),
            Some(newest) => Err(Rejection::NotNewest {
                number,
                newest: newest.number,
                name: newest.task.name.clone(),
            }),
            None => Err(Rejection::OtherCompensation { number }),
        }
    }

    /// Why nothing is taken now.
    pub(super) fn compensates(&self) -> Rejection {
        match (&self.instance.phase, self.instance.stack.last()) {
            (Phase::Stuck { .. }, Some(stuck)) => Rejection::Stuck {
                number: stuck.number,
                name: stuck.task.name.clone(),
            },
            _ => Rejection::Compensating,
        }
    }

    pub(super) fn compensation(&mut self, number: u32, change: CompensationChange) {
        self.notes.push(Note::Compensation { number, change });
    }

    /// The newest of the stack, of this number, has ended for good.
    pub(super) fn undone(&mut self, number: u32, outcome: Outcome, then: Then) {
        match outcome {
            Outcome::Succeeded { .. } => {
                self.compensation(number, CompensationChange::Succeeded);
                self.instance.stack.pop();
                self.unwind(then);
            }
            Outcome::Unsuccessful { error, .. } => {
                self.compensation(number, CompensationChange::Failed);
                match self.definition.definition().on_compensation_failure {
                    OnCompensationFailure::Stop => self.instance.phase = Phase::Stuck { error, then },
                    OnCompensationFailure::Continue => {
                        let most = reason_max_bytes(self.instance.not_undone.len());
                        let message = shortened(&error.message, most, "").into_owned();
                        let error = TaskError { message, ..error };
                        let failed = self.instance.stack.pop();
                        self.instance.not_undone.extend(failed.map(|undo| (undo, error)));
                        self.unwind(then);
                    }
                }
            }
        }
    }

    pub(super) fn finish(&mut self, end: SagaEnd) {
        self.instance.phase = Phase::Ended { end };
        self.effects.push(Effect::Finished { end });
    }
}
