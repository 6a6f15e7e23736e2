//! Workers: the lanes they serve, what they go on with, how they die, and what of a worker's is then done again.
//!
//! One that has ended a task of a saga offers to go on with what the saga issues. What it is given runs already when the look is
//! written; the answer may be lost, come late, or come to a worker that is dead.

use std::collections::BTreeMap;

use orchestratum_core::task::{Ending, Report as TaskReport, TaskEvent, TaskSpec, TaskState};
use orchestratum_core::{SagaId, Target, TaskId, WorkerId};
use orchestratum_store::{Change, ChangeOutcome, ClaimedTask, SagaOffer, Takes};
use uuid::Uuid;

use super::check;
use super::definitions::Lane;
use super::world::{Step, World};
use crate::coverage::SagaMarker;
use crate::invariant::{Invariant, Violation};
use crate::limits::{LEASE, MILLISECOND, Micros, RENEWAL, SECOND, timestamp};
use crate::mutant::Mutant;

/// How many workers claim in turn; those before them only end what they have.
const CLAIMING: usize = 3;

/// How long after its beginning an attempt may be nobody's: what a look takes, a lease, and what the answer to a renewal takes.
const NOTICED_AFTER: Micros = LEASE + 20 * SECOND;

/// An attempt that a worker has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) task: TaskId,
    pub(super) attempt: u32,
    pub(super) worker: WorkerId,
    /// The place of the lane that has it.
    pub(super) lane: usize,
    /// It was not claimed.
    pub(super) is_gone_on_with: bool,
}

/// Of a worker that has ended a task of the saga.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) saga: SagaId,
    pub(super) worker: WorkerId,
    pub(super) lane: usize,
    /// Of the task that it has ended.
    pub(super) priority: u8,
}

/// Processes of an attempt.
#[derive(Debug)]
struct Running {
    worker: WorkerId,
    attempt: u32,
    /// When they are dead at the latest.
    until: Micros,
}

#[derive(Debug, Default)]
pub(super) struct Workers {
    last: u128,
    /// Those that claim.
    claiming: Vec<WorkerId>,
    /// When each of those that are dead wakes again; most never do.
    dead: BTreeMap<WorkerId, Option<Micros>>,
    running: BTreeMap<TaskId, Running>,
    /// What was given to workers, until the answer is there or given up.
    given: Vec<Held>,
    /// When the next task of a target with a rate may start, and when one that is paused goes on.
    opens: BTreeMap<Target, Micros>,
}

impl Workers {
    pub(super) fn is_dead(&self, worker: WorkerId) -> bool {
        self.dead.contains_key(&worker)
    }

    /// Whether nothing comes from it now.
    pub(super) fn is_silent(&self, worker: WorkerId, now: Micros) -> bool {
        let wakes_at = self.dead.get(&worker);
        wakes_at.is_some_and(|wakes_at| wakes_at.is_none_or(|at| at > now))
    }

    pub(super) fn wakes_at(&self, worker: WorkerId) -> Option<Micros> {
        self.dead.get(&worker).copied().flatten()
    }

    /// Its processes are dead before the report is sent.
    pub(super) fn has_ended(&mut self, task: TaskId, attempt: u32, worker: WorkerId) {
        let running = self.running.get(&task);
        if running.is_some_and(|running| (running.attempt, running.worker) == (attempt, worker)) {
            self.running.remove(&task);
        }
    }

    pub(super) fn opens_at(&self, target: &Target) -> Micros {
        self.opens.get(target).copied().unwrap_or(0)
    }
}

impl World {
    /// Whether a task of the target may start now, which counts where it has a rate.
    pub(super) fn takes_a_start(&mut self, target: &Target) -> bool {
        if self.rows.paused.contains(target) {
            return false;
        }
        if !self.rows.rated.contains(target) {
            return true;
        }
        let may = self.workers.opens_at(target) <= self.now;
        if may {
            self.workers.opens.insert(target.clone(), self.now + SECOND);
        }
        may
    }

    /// The target of this number is paused, or gets a rate.
    pub(super) fn close(&mut self, place: usize) {
        let closing = &self.closings[place];
        let targets = &self.definitions.targets;
        let target = targets[closing.target % targets.len()].clone();
        if self.healed {
            return;
        }
        if closing.is_rate {
            self.rows.rated.insert(target);
            return;
        }
        let until = self.now + closing.lasts;
        self.workers.opens.insert(target.clone(), until);
        self.rows.paused.insert(target);
        self.schedule(until, Step::Open(place));
    }

    pub(super) fn open_again(&mut self, place: usize) {
        let targets = &self.definitions.targets;
        let target = &targets[self.closings[place].target % targets.len()];
        // Somebody else may have paused it for longer.
        if self.workers.opens_at(target) <= self.now {
            self.rows.paused.remove(target);
        }
    }

    pub(super) fn open_all(&mut self) {
        self.rows.paused.clear();
        self.rows.rated.clear();
        self.workers.opens.clear();
    }

    /// A worker that claims, and by which of its lanes.
    pub(super) fn draw_worker(&mut self, spec: &TaskSpec) -> (WorkerId, usize) {
        let lanes = &self.definitions.lanes;
        let serving = || (0..lanes.len()).filter(|place| lanes[*place].serves(spec));
        let drawn = self.chance.index(serving().count());
        let lane = serving().nth(drawn).expect("the first lane serves all");
        if !self.workers.claiming.is_empty() && self.chance.happens(250) {
            let place = self.chance.index(self.workers.claiming.len());
            return (self.workers.claiming[place], lane);
        }
        self.workers.last += 1;
        let worker = WorkerId(Uuid::from_u128(self.workers.last));
        // Those that live renew in time.
        self.rows.leases.insert(worker, timestamp(Micros::MAX));
        self.workers.claiming.push(worker);
        if self.workers.claiming.len() > CLAIMING {
            self.workers.claiming.remove(0);
        }
        (worker, lane)
    }

    /// An attempt begins where its worker is.
    pub(super) fn begin_attempt(&mut self, held: Held) {
        let Held {
            task, attempt, worker, ..
        } = held;
        let other = self.workers.running.get(&task).filter(|other| other.until > self.now);
        if let Some(other) = other {
            let violation = Violation {
                invariant: Invariant::AttemptsDoNotOverlap,
                detail: format!("{task} begins as attempt {attempt} of {worker}, and runs: {other:?}"),
            };
            self.violate(violation);
            return;
        }
        let running = Running {
            worker,
            attempt,
            until: Micros::MAX,
        };
        self.workers.running.insert(task, running);
        let takes = if self.chance.happens(self.faults.task_long) {
            self.chance.time_between(10 * SECOND, 400 * SECOND)
        } else {
            self.chance.time_between(5 * MILLISECOND, 3 * SECOND)
        };
        self.expect_report(held, takes);
        if self.chance.happens(self.faults.worker_dies) {
            self.worker_dies(worker);
        }
    }

    /// Nobody hears of it any more. What it runs is dead when its lease is over.
    fn worker_dies(&mut self, worker: WorkerId) {
        if self.workers.is_dead(worker) {
            return;
        }
        let lease_ends = self.now + LEASE;
        let wakes = self.chance.happens(self.faults.worker_wakes_again);
        self.workers.dead.insert(worker, wakes.then_some(lease_ends));
        self.workers.claiming.retain(|other| *other != worker);
        self.rows.leases.insert(worker, timestamp(lease_ends));
        let of_worker = |running: &&mut Running| running.worker == worker;
        for running in self.workers.running.values_mut().filter(of_worker) {
            running.until = lease_ends;
        }
        let noticed = lease_ends + self.chance.time_between(0, SECOND);
        self.schedule(noticed, Step::Rescue(worker));
    }

    /// It is marked dead, and what it has is lost.
    pub(super) fn rescue(&mut self, worker: WorkerId) {
        self.rows.leases.remove(&worker);
        let rows = self.rows.tasks.iter();
        let lost = rows.filter_map(|(task, row)| match row.life().state {
            TaskState::InProgress { worker: of, .. } if of == worker => {
                Some((*task, row.life().attempt, row.is_gone_on_with))
            }
            _ => None,
        });
        let lost: Vec<(TaskId, u32, bool)> = lost.collect();
        for (task, attempt, is_gone_on_with) in lost {
            let change = Change::new(task, TaskEvent::WorkerLost { worker, attempt });
            if let ChangeOutcome::Done(_) = self.change(change, None) {
                self.sometimes(SagaMarker::TaskLost);
                if is_gone_on_with && attempt == 1 {
                    self.sometimes(SagaMarker::GivenWasLost);
                }
            }
        }
    }

    /// Whether the worker of a success would go on with what comes next; then it keeps its place for that.
    pub(super) fn draw_offer(
        &mut self,
        saga: Option<SagaId>,
        worker: WorkerId,
        lane: usize,
        priority: u8,
    ) -> Option<Offer> {
        let saga = saga.filter(|_| self.chance.happens(self.goes_on))?;
        if self.chance.happens(self.faults.worker_dies) {
            self.worker_dies(worker);
        }
        Some(Offer {
            saga,
            worker,
            lane,
            priority,
        })
    }

    /// As its process sends it to the store.
    pub(super) fn saga_offer(&self, offer: &Offer) -> SagaOffer {
        let lane: &Lane = &self.definitions.lanes[offer.lane];
        SagaOffer {
            takes: Takes {
                worker: offer.worker,
                targets: lane.targets.clone(),
                names: lane.names.clone(),
                known: None,
            },
            priority: offer.priority,
        }
    }

    /// A look was written, and this is what it gives to those who have offered. The answer goes with the process that looked, or
    /// gets lost by itself.
    pub(super) fn give(&mut self, given: Vec<(Offer, ClaimedTask)>, is_answered: bool) {
        for (offer, task) in given {
            let held = Held {
                task: task.id,
                attempt: task.attempt,
                worker: offer.worker,
                lane: offer.lane,
                is_gone_on_with: true,
            };
            self.note(|| format!("{} is given {}", offer.worker, task.id));
            self.workers.given.push(held);
            let place = u32::try_from(self.workers.given.len() - 1).unwrap_or(u32::MAX);
            if is_answered && !self.chance.happens(self.faults.answer_lost) {
                self.soon(20 * MILLISECOND, Step::GoOn(place));
            } else if !is_answered && self.chance.happens(500) {
                // They were one process.
                self.worker_dies(offer.worker);
            } else if !self.planted.is(Mutant::WhatWasGivenIsNeverHandedBack) {
                self.soon(RENEWAL, Step::HandBack(place));
            }
        }
    }

    fn given(&self, place: u32) -> Option<Held> {
        let index = usize::try_from(place).ok()?;
        self.workers.given.get(index).copied()
    }

    /// The answer is there.
    pub(super) fn go_on(&mut self, place: u32) {
        let Some(held) = self.given(place) else { return };
        if self.workers.is_dead(held.worker) {
            self.sometimes(SagaMarker::GivenToTheDead);
            return;
        }
        self.sometimes(SagaMarker::WentOn);
        self.begin_attempt(held);
    }

    /// The answer to a renewal lists what the worker knows nothing of.
    pub(super) fn hand_back(&mut self, place: u32) {
        let Some(held) = self.given(place) else { return };
        if self.workers.is_dead(held.worker) {
            return;
        }
        let report = TaskReport {
            attempt: held.attempt,
            ending: Ending::Released {
                message: "the answer to its claim was lost".to_owned(),
            },
            chance: self.chance.fraction(),
        };
        if let ChangeOutcome::Done(_) = self.change(Change::new(held.task, TaskEvent::Reported(report)), None) {
            self.sometimes(SagaMarker::GivenWasHandedBack);
        }
    }

    /// What ran out of time was somebody's until then, or had been taken from a dead worker.
    pub(super) fn was_held(&mut self, task: TaskId) {
        let Some(row) = self.rows.tasks.get(&task) else { return };
        let TaskState::InProgress { started_at, worker, .. } = row.life().state else {
            return;
        };
        let running = self.workers.running.get(&task);
        let is_held = running.is_some_and(|running| running.until > self.now - 2 * SECOND);
        let rule = is_held || started_at.as_micros() + NOTICED_AFTER > self.now;
        let held = check::holds(rule, Invariant::DeadWorkerIsNoticed, || {
            format!("{task} is with {worker} since {started_at}, and that knows nothing of it")
        });
        if let Err(violation) = held {
            self.violate(violation);
        }
    }
}
