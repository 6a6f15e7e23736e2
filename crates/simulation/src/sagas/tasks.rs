//! The tasks of sagas and those who do them: late, in vain, never, or after they were given up.

use orchestratum_core::saga::Purpose;
use orchestratum_core::task::{Ending, Refusal, Report as TaskReport, TaskEvent, TaskState};
use orchestratum_core::{JsonText, TaskId, WorkerId};
use orchestratum_store::{Change, ChangeOutcome, Evidence};
use uuid::Uuid;

use super::world::{Step, World};
use crate::coverage::SagaMarker;
use crate::limits::{LEASE, MILLISECOND, SECOND};

/// A report on its way.
#[derive(Debug, Clone)]
pub(super) struct Report {
    task: TaskId,
    attempt: u32,
    /// As it ends if nobody stops it.
    ending: Ending,
    output: JsonText,
    /// How often it is sent once more.
    again: u32,
    was_rescued: bool,
}

impl World {
    /// Somebody is told of a task that is ready, or the message is lost.
    pub(super) fn announce(&mut self, task: TaskId) {
        if !self.chance.happens(self.faults.message_lost) {
            self.soon(2 * SECOND, Step::Claim(task));
        }
    }

    /// What the loops for tasks find: due ones that nobody was told of, and those whose time is over.
    pub(super) fn look_at_tasks(&mut self) {
        let now = self.time();
        let mut due = Vec::new();
        let mut over = Vec::new();
        for (id, row) in &self.rows.tasks {
            let life = row.life();
            match life.state {
                TaskState::Pending { .. } if life.expires_at <= now => over.push(*id),
                TaskState::Pending { due_at } if due_at <= now => due.push(*id),
                TaskState::InProgress { .. } if life.expires_at.as_micros() + 3 * SECOND <= self.now => over.push(*id),
                TaskState::Pending { .. }
                | TaskState::InProgress { .. }
                | TaskState::Completed { .. }
                | TaskState::Failed { .. }
                | TaskState::Expired { .. }
                | TaskState::Cancelled { .. } => {}
            }
        }
        for task in due {
            self.soon(SECOND, Step::Claim(task));
        }
        for task in over {
            self.sometimes(SagaMarker::TaskExpired);
            self.change(Change::new(task, TaskEvent::DeadlinePassed));
        }
    }

    /// One change in a transaction of its own.
    fn change(&mut self, change: Change) -> ChangeOutcome {
        let now = self.time();
        self.maybe_skip_an_id();
        let shown = (change.task, change.event.clone());
        let mut outcomes = self.rows.change_tasks(&[change], now);
        let outcome = outcomes.pop().unwrap_or(ChangeOutcome::NotFound);
        let told = &outcome;
        self.trace.note(self.now, || {
            let what = match told {
                ChangeOutcome::Done(changed) => format!("{:?}", changed.life.status()),
                other => format!("{other:?}"),
            };
            format!("task {}: {:?}: {what}", shown.0, shown.1)
        });
        self.after_change(&outcome);
        outcome
    }

    pub(super) fn claim(&mut self, task: TaskId) {
        let due = self.rows.tasks.get(&task).is_some_and(|row| match row.life().state {
            TaskState::Pending { due_at } => due_at.as_micros() <= self.now,
            _ => false,
        });
        if !due {
            return;
        }
        self.last_worker += 1;
        let worker = WorkerId(Uuid::from_u128(self.last_worker));
        let ChangeOutcome::Done(changed) = self.change(Change::new(task, TaskEvent::Claimed { worker })) else {
            return;
        };
        let attempt = changed.life.attempt;
        let is_dead = self.chance.happens(self.faults.worker_dies);
        if is_dead {
            let at = self.now + LEASE + self.chance.time_between(0, SECOND);
            self.schedule(at, Step::Rescue { task, worker, attempt });
            if !self.chance.happens(self.faults.worker_wakes_again) {
                return;
            }
        }
        let ending = self.ending(task);
        let output = self.data();
        let again = u32::from(self.chance.happens(self.faults.report_repeated));
        self.reports.push(Report {
            task,
            attempt,
            ending,
            output,
            again,
            was_rescued: is_dead,
        });
        let place = u32::try_from(self.reports.len() - 1).unwrap_or(u32::MAX);
        let takes = if self.chance.happens(self.faults.task_long) {
            self.chance.time_between(10 * SECOND, 400 * SECOND)
        } else {
            self.chance.time_between(5 * MILLISECOND, 3 * SECOND)
        };
        let rest = if is_dead { LEASE } else { 0 };
        self.schedule(self.now + takes + rest, Step::Report(place));
    }

    fn ending(&mut self, task: TaskId) -> Ending {
        let place = self.rows.tasks.get(&task).and_then(|row| row.spec.saga);
        let rate = match place.map(|place| place.purpose) {
            Some(Purpose::Compensation) => self.faults.compensation_fails,
            Some(Purpose::Forward) | None => self.faults.task_fails,
        };
        if !self.chance.happens(rate) {
            return Ending::Success;
        }
        let message = "it broke".to_owned();
        match self.chance.below(8) {
            0..=2 => Ending::Failed {
                message,
                retryable: true,
            },
            3 | 4 => Ending::Failed {
                message,
                retryable: false,
            },
            5 => Ending::TimedOut { message },
            6 => Ending::OutputNotStorable { message },
            _ => Ending::OutOfMemory { message },
        }
    }

    pub(super) fn report(&mut self, place: u32) {
        let index = usize::try_from(place).unwrap_or(0);
        let Some(report) = self.reports.get(index).cloned() else {
            return;
        };
        let Report {
            task,
            attempt,
            ending,
            output,
            again,
            was_rescued,
        } = report;
        let wanted = self.rows.tasks.get(&task).map(|row| row.life().state.clone());
        let is_cancelled = matches!(
            &wanted,
            Some(TaskState::InProgress {
                cancel_requested: Some(_),
                ..
            })
        );
        let ending = match ending {
            ending if !is_cancelled || self.chance.happens(300) => {
                if is_cancelled {
                    self.sometimes(SagaMarker::CancelLostTheRace);
                }
                ending
            }
            _ => Ending::Cancelled {
                message: "stopped".to_owned(),
            },
        };
        let output = (ending == Ending::Success).then_some(output);
        let event = TaskEvent::Reported(TaskReport {
            attempt,
            ending: ending.clone(),
            chance: self.chance.fraction(),
        });
        let change = Change {
            evidence: Evidence {
                output,
                ..Evidence::default()
            },
            ..Change::new(task, event)
        };
        match self.change(change) {
            ChangeOutcome::Done(changed) if changed.life.status().is_terminal() => self.maybe_repeat_the_end(),
            ChangeOutcome::Refused {
                refusal: Refusal::StaleAttempt { .. } | Refusal::Illegal { .. },
                ..
            } if was_rescued => self.sometimes(SagaMarker::ZombieRefused),
            ChangeOutcome::AlreadyReported { .. } => self.sometimes(SagaMarker::ReportRepeated),
            _ => {}
        }
        if again > 0 {
            self.reports[index].again = again - 1;
            self.reports[index].ending = ending;
            self.soon(30 * SECOND, Step::Report(place));
        }
    }

    /// No transaction tells a saga twice of the end of a forward task. It is not to matter.
    fn maybe_repeat_the_end(&mut self) {
        if self.chance.happens(self.faults.end_repeated) {
            let last = self.rows.events.values().rev().find(|row| {
                let input = row.input();
                matches!(input, Some(orchestratum_core::saga::Input::TaskEnded { .. }))
            });
            if let Some(event) = last.map(|row| row.id) {
                self.rows.repeat_end(event);
            }
        }
    }

    pub(super) fn rescue(&mut self, task: TaskId, worker: WorkerId, attempt: u32) {
        let outcome = self.change(Change::new(task, TaskEvent::WorkerLost { worker, attempt }));
        if let ChangeOutcome::Done(_) = outcome {
            self.sometimes(SagaMarker::TaskLost);
        }
    }

    /// A task was cancelled: who does it hears so, and stops some time.
    pub(super) fn cancelled(&mut self, task: TaskId, state: &TaskState) {
        if !matches!(state, TaskState::InProgress { .. }) {
            return;
        }
        let on_its_way = self
            .reports
            .iter()
            .rposition(|report| report.task == task && !report.was_rescued);
        if let Some(place) = on_its_way.and_then(|place| u32::try_from(place).ok()) {
            self.soon(5 * SECOND, Step::Report(place));
        }
    }
}
