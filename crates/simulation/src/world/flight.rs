//! A statement on its way: it may get lost before it arrives, apply without an answer, or apply after its caller gave up.

use orchestratum_core::WorkerId;
use orchestratum_core::task::{Ending, LifePatch, TaskStatus};

use super::worker::label;
use super::{Step, World};
use crate::database::{Claim, Claimed, Created, Held, NewTask};
use crate::limits::{MILLISECOND, Micros, RENEWAL_DEADLINE, SECOND, STATEMENT_DEADLINE};

#[derive(Debug, Clone)]
pub(super) enum Statement {
    Create(NewTask),
    /// Only a mutant asks first.
    LookUpKey(NewTask),
    Cancel {
        id: u32,
    },
    Retry {
        id: u32,
        ttl: Micros,
    },
    Patch {
        id: u32,
        patch: LifePatch,
    },
    Pause(bool),
    Register {
        id: WorkerId,
        offers_rare: bool,
        lease_expires_at: Micros,
    },
    Renew {
        id: WorkerId,
        lease_expires_at: Micros,
    },
    Claim {
        id: WorkerId,
        offers_rare: bool,
        named: Vec<u32>,
        free: usize,
        fill_up: bool,
    },
    Report {
        id: WorkerId,
        task: usize,
        attempt: u32,
        ending: Ending,
        chance: f64,
    },
}

/// What the caller learns, if it learns anything.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Created(Created),
    KeyIsFree(bool),
    /// A change by a client, with the message to send when the task became due with it.
    Changed {
        publish: Option<u32>,
    },
    Registered {
        sample: Micros,
    },
    Renewed {
        held: Option<Vec<Held>>,
        sample: Micros,
    },
    Claimed(Vec<Claimed>),
    Reported {
        publish: Option<u32>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Operation(usize),
    Worker { slot: usize, incarnation: u32 },
    Process { slot: usize, process: u32 },
}

impl Origin {
    const fn slot(self) -> Option<usize> {
        match self {
            Self::Operation(_) => None,
            Self::Worker { slot, .. } | Self::Process { slot, .. } => Some(slot),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) statement: Statement,
    pub(super) origin: Origin,
    /// By the caller's clock.
    pub(super) bound_now: Micros,
    pub(super) sent_at: Micros,
    deadline: Micros,
    answer_is_lost: bool,
    given_up: bool,
    reply: Option<Reply>,
}

#[derive(Debug, Default)]
pub(super) struct Flights {
    slots: Vec<Option<Flight>>,
    free: Vec<usize>,
}

impl Flights {
    fn open(&mut self, flight: Flight) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(flight);
            slot
        } else {
            self.slots.push(Some(flight));
            self.slots.len() - 1
        }
    }

    fn close(&mut self, slot: usize) -> Option<Flight> {
        let flight = self.slots[slot].take();
        if flight.is_some() {
            self.free.push(slot);
        }
        flight
    }
}

impl World {
    pub(super) fn send(&mut self, statement: Statement, origin: Origin, bound_now: Micros) {
        let deadline = match statement {
            Statement::Renew { .. } => RENEWAL_DEADLINE,
            _ => STATEMENT_DEADLINE,
        };
        let lost = self.chance.happens(self.faults.statement_lost);
        let answer_is_lost = self.chance.happens(self.faults.answer_lost);
        let delay = self.statement_delay();
        let flight = Flight {
            statement,
            origin,
            bound_now,
            sent_at: self.now,
            deadline: self.now + deadline,
            answer_is_lost,
            given_up: false,
            reply: None,
        };
        let arrives_late = delay > deadline;
        if arrives_late && !lost {
            // The caller gives up and closes the connection, but what it sent is still on its way.
            let orphan = self.flights.open(Flight {
                given_up: true,
                ..flight.clone()
            });
            self.after(delay, Step::Execute(orphan));
        }
        let flight = self.flights.open(flight);
        if lost || arrives_late {
            self.after(deadline, Step::GiveUp(flight));
        } else {
            self.after(delay, Step::Execute(flight));
        }
    }

    fn statement_delay(&mut self) -> Micros {
        if self.chance.happens(self.faults.statement_slow) {
            self.chance.time_between(MILLISECOND, 8 * SECOND)
        } else {
            self.chance.time_between(MILLISECOND, 20 * MILLISECOND)
        }
    }

    fn cannot_reach_database(&self, origin: Origin) -> bool {
        self.database_down || origin.slot().is_some_and(|slot| self.workers[slot].cut_off)
    }

    pub(super) fn execute(&mut self, number: usize) {
        let Some(flight) = self.flights.slots[number].as_ref() else {
            return;
        };
        let (origin, deadline, bound_now, answer_is_lost) =
            (flight.origin, flight.deadline, flight.bound_now, flight.answer_is_lost);
        if flight.given_up {
            let Some(flight) = self.flights.close(number) else {
                return;
            };
            if !self.cannot_reach_database(origin) {
                self.apply(&flight.statement, origin, bound_now);
            }
            return;
        }
        if self.cannot_reach_database(origin) {
            self.at(deadline, Step::GiveUp(number));
            return;
        }
        let statement = flight.statement.clone();
        let reply = self.apply(&statement, origin, bound_now);
        let answered_at = self.now + self.statement_delay();
        if let Some(flight) = &mut self.flights.slots[number] {
            flight.reply = Some(reply);
        }
        if answer_is_lost || answered_at > deadline {
            self.at(deadline, Step::GiveUp(number));
        } else {
            self.at(answered_at, Step::Answer(number));
        }
    }

    pub(super) fn answer(&mut self, number: usize) {
        let Some(flight) = &self.flights.slots[number] else {
            return;
        };
        let (origin, deadline) = (flight.origin, flight.deadline);
        if self.cannot_reach_database(origin) {
            self.at(deadline, Step::GiveUp(number));
            return;
        }
        if self.is_stopped(origin) {
            self.defer(origin, Step::Answer(number));
            return;
        }
        let Some(mut flight) = self.flights.close(number) else {
            return;
        };
        // It lay here while the worker was stopped. An answer after its deadline is none: as a sample it would set the
        // clock back by the pause, and the next lease with it; as a claim it would start what is long somebody else's.
        if self.now > deadline {
            self.unknown(&flight);
            return;
        }
        let Some(reply) = flight.reply.take() else { return };
        match origin {
            Origin::Operation(operation) => self.operation_answered(operation, &flight, &reply),
            Origin::Worker { slot, incarnation } => self.worker_answered(slot, incarnation, &flight, reply),
            Origin::Process { slot, process } => self.report_answered(slot, process, &reply),
        }
    }

    pub(super) fn give_up(&mut self, number: usize) {
        let Some(flight) = &self.flights.slots[number] else {
            return;
        };
        let origin = flight.origin;
        if self.is_stopped(origin) {
            self.defer(origin, Step::GiveUp(number));
            return;
        }
        if let Some(flight) = self.flights.close(number) {
            self.unknown(&flight);
        }
    }

    /// Nobody knows whether the statement was applied.
    fn unknown(&mut self, flight: &Flight) {
        match flight.origin {
            Origin::Operation(operation) => self.operation_unknown(operation, flight),
            Origin::Worker { slot, incarnation } => self.worker_unknown(slot, incarnation, flight),
            Origin::Process { slot, process } => {
                self.after(500 * MILLISECOND, Step::ReportAgain { worker: slot, process });
            }
        }
    }

    fn is_stopped(&self, origin: Origin) -> bool {
        origin.slot().is_some_and(|slot| self.workers[slot].stopped)
    }

    fn defer(&mut self, origin: Origin, step: Step) {
        if let Some(slot) = origin.slot() {
            self.workers[slot].deferred.push(step);
        }
    }

    /// The statement at the database. It is atomic, and what follows from it in the checks is done here as well.
    fn apply(&mut self, statement: &Statement, origin: Origin, now: Micros) -> Reply {
        match statement {
            Statement::Create(new) => {
                let created = self.database.create(new, now);
                self.note(|| format!("database: create {} under key {:?}: {created:?}", new.id, new.key));
                if let (Created::New(_), Origin::Operation(operation)) = (created, origin) {
                    self.row_created(operation, new);
                }
                Reply::Created(created)
            }
            Statement::LookUpKey(new) => Reply::KeyIsFree(!new.key.is_some_and(|key| self.database.key_taken(key))),
            Statement::Cancel { .. } | Statement::Retry { .. } | Statement::Patch { .. } | Statement::Pause(_) => {
                self.apply_change(statement, now)
            }
            Statement::Register {
                id,
                offers_rare,
                lease_expires_at,
            } => {
                self.database.register(*id, *offers_rare, now, *lease_expires_at);
                self.note(|| format!("database: worker {} registers", label(*id)));
                Reply::Registered { sample: self.now }
            }
            Statement::Renew { id, lease_expires_at } => {
                let held = self.database.renew(*id, now, *lease_expires_at);
                self.note(|| format!("database: worker {} renews: {held:?}", label(*id)));
                Reply::Renewed { held, sample: self.now }
            }
            Statement::Claim {
                id,
                offers_rare,
                named,
                free,
                fill_up,
            } => {
                let claim = Claim {
                    worker: *id,
                    offers_rare: *offers_rare,
                    named,
                    free: *free,
                    fill_up: *fill_up,
                };
                let claimed = self.database.claim(&claim, now);
                self.note(|| {
                    format!(
                        "database: worker {} claims {named:?}, {free} at most: {claimed:?}",
                        label(*id)
                    )
                });
                Reply::Claimed(claimed)
            }
            Statement::Report {
                id,
                task,
                attempt,
                ending,
                chance,
            } => {
                let answer = self.database.report(*id, *task, *attempt, ending, *chance, now);
                self.note(|| format!("database: report of task {task} attempt {attempt} {ending:?}: {answer:?}"));
                let publish = self.written(*task);
                Reply::Reported { publish }
            }
        }
    }

    fn apply_change(&mut self, statement: &Statement, now: Micros) -> Reply {
        match statement {
            Statement::Cancel { id } => self.change(*id, "cancel", |world, task| world.database.cancel(task, now)),
            Statement::Retry { id, ttl } => {
                self.change(*id, "retry", |world, task| world.database.retry(task, *ttl, now))
            }
            Statement::Patch { id, patch } => self.change(*id, "patch", |world, task| {
                let answer = world.database.patch(task, patch, now);
                if answer == Ok(TaskStatus::InProgress) {
                    world.deadline_moved(task);
                }
                answer
            }),
            Statement::Pause(paused) => {
                // One that arrives after the mending would be a legal reason to wait for ever.
                self.database.paused = *paused && !self.healed;
                self.open_since = self.now;
                self.note(|| format!("database: paused = {paused}"));
                Reply::Changed { publish: None }
            }
            _ => Reply::Changed { publish: None },
        }
    }

    fn change(
        &mut self,
        id: u32,
        what: &str,
        statement: impl FnOnce(&mut Self, usize) -> Result<TaskStatus, orchestratum_core::task::Refusal>,
    ) -> Reply {
        let Some(task) = self.database.find(id) else {
            return Reply::Changed { publish: None };
        };
        let answer = statement(self, task);
        self.note(|| format!("database: {what} task {id}: {answer:?}"));
        Reply::Changed {
            publish: self.written(task),
        }
    }
}
