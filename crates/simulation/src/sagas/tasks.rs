//! The tasks of sagas and those who do them: late, in vain, never, or after they were given up.

use orchestratum_core::saga::Purpose;
use orchestratum_core::task::{Ending, Refusal, Report as TaskReport, TaskEvent, TaskState};
use orchestratum_core::{JsonText, TaskId};
use orchestratum_store::{Change, ChangeOutcome, Evidence};

use super::workers::{Held, Offer};
use super::world::{Step, World};
use crate::coverage::SagaMarker;
use crate::limits::{MILLISECOND, Micros, SECOND};

/// A report on its way.
#[derive(Debug, Clone)]
pub(super) struct Report {
    held: Held,
    /// As it ends if nobody stops it.
    ending: Ending,
    output: JsonText,
    /// How often it is sent once more.
    again: u32,
    was_sent: bool,
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
                TaskState::Pending { due_at }
                    if due_at <= now && self.workers.opens_at(&row.spec.target) <= self.now =>
                {
                    due.push(*id);
                }
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
            self.was_held(task);
            self.change(Change::new(task, TaskEvent::DeadlinePassed), None);
        }
    }

    /// One change in a transaction of its own, and what its worker would go on with after it.
    pub(super) fn change(&mut self, change: Change, offer: Option<Offer>) -> ChangeOutcome {
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
        self.after_change(&outcome, offer);
        outcome
    }

    /// What is not due any more, or has to wait for its target, the loops find again.
    pub(super) fn claim(&mut self, task: TaskId) {
        if !self.rows.dispatches.contains(&task) {
            return;
        }
        let due = self.rows.tasks.get(&task).filter(|row| match row.life().state {
            TaskState::Pending { due_at } => due_at.as_micros() <= self.now,
            _ => false,
        });
        let Some(spec) = due.map(|row| row.spec.clone()) else {
            return;
        };
        if !self.takes_a_start(&spec.target) {
            return;
        }
        let (worker, lane) = self.draw_worker(&spec);
        let claim = Change::new(task, TaskEvent::Claimed { worker });
        if let ChangeOutcome::Done(changed) = self.change(claim, None) {
            self.begin_attempt(Held {
                task,
                attempt: changed.life.attempt,
                worker,
                lane,
                is_gone_on_with: false,
            });
        }
    }

    /// The attempt ends some time, and its worker says so if it lives.
    pub(super) fn expect_report(&mut self, held: Held, takes: Micros) {
        let ending = self.ending(held.task);
        let output = self.data();
        let again = u32::from(self.chance.happens(self.faults.report_repeated));
        self.reports.push(Report {
            held,
            ending,
            output,
            again,
            was_sent: false,
        });
        let place = u32::try_from(self.reports.len() - 1).unwrap_or(u32::MAX);
        self.schedule(self.now + takes, Step::Report(place));
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
                code: None,
            },
            3 | 4 => Ending::Failed {
                message,
                retryable: false,
                code: None,
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
            held,
            ending,
            output,
            again,
            was_sent,
        } = report;
        let Held {
            task, attempt, worker, ..
        } = held;
        if self.workers.is_silent(worker, self.now) {
            if let Some(at) = self.workers.wakes_at(worker) {
                let takes = self.chance.time_between(5 * MILLISECOND, 3 * SECOND);
                self.schedule(at + takes, Step::Report(place));
            }
            return;
        }
        self.workers.has_ended(task, attempt, worker);
        let was_rescued = self.workers.is_dead(worker);
        let row = self.rows.tasks.get(&task);
        let wanted = row.map(|row| row.life().state.clone());
        let (saga, priority) = row.map_or((None, 0), |row| (row.spec.saga, row.spec.priority));
        let is_cancelled = matches!(
            &wanted,
            Some(TaskState::InProgress {
                cancel_requested: Some(_),
                ..
            })
        );
        let ending = self.as_it_ended(ending, is_cancelled);
        if is_cancelled && held.is_gone_on_with && !was_sent {
            self.sometimes(SagaMarker::GivenWasCancelled);
        }
        let offer = if ending == Ending::Success && !was_sent {
            // Once: what a second report is answered for, the first may have brought.
            self.draw_offer(saga.map(|place| place.saga), worker, held.lane, priority)
        } else {
            None
        };
        self.reports[index].was_sent = true;
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
        let outcome = self.change(change, offer);
        self.was_answered(&outcome, was_rescued);
        if again > 0 {
            self.reports[index].again = again - 1;
            self.reports[index].ending = ending;
            self.soon(30 * SECOND, Step::Report(place));
        }
    }

    /// Who is told to stop stops, unless it is done.
    fn as_it_ended(&mut self, ending: Ending, is_cancelled: bool) -> Ending {
        if !is_cancelled {
            return ending;
        }
        if self.chance.happens(300) {
            self.sometimes(SagaMarker::CancelLostTheRace);
            return ending;
        }
        Ending::Cancelled {
            message: "stopped".to_owned(),
        }
    }

    fn was_answered(&mut self, outcome: &ChangeOutcome, was_rescued: bool) {
        match outcome {
            ChangeOutcome::Done(changed) if changed.life.status().is_terminal() => self.maybe_repeat_the_end(),
            ChangeOutcome::Refused {
                refusal: Refusal::StaleAttempt { .. } | Refusal::Illegal { .. },
                ..
            } if was_rescued => self.sometimes(SagaMarker::ZombieRefused),
            ChangeOutcome::AlreadyReported { .. } => self.sometimes(SagaMarker::ReportRepeated),
            _ => {}
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

    /// A task was cancelled: who does it hears so, and stops some time.
    pub(super) fn cancelled(&mut self, task: TaskId, state: &TaskState) {
        if !matches!(state, TaskState::InProgress { .. }) {
            return;
        }
        let on_its_way = self
            .reports
            .iter()
            .rposition(|report| report.held.task == task && !self.workers.is_dead(report.held.worker));
        if let Some(place) = on_its_way.and_then(|place| u32::try_from(place).ok()) {
            self.soon(5 * SECOND, Step::Report(place));
        }
    }
}
