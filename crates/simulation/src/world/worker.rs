//! A worker: its lease and its clock, its claims, and what it does when an answer does not come.

use orchestratum_core::WorkerId;
use uuid::Uuid;

use super::claims::Unacked;
use super::flight::{Flight, Origin, Reply, Statement};
use super::process::{Phase, Process, Stop};
use super::{Step, World};
use crate::chance::Chance;
use crate::coverage::Marker;
use crate::database::Held;
use crate::limits::{CAPACITY, LEASE, MILLISECOND, Micros, RENEWAL, RENEWAL_AGAIN, SECOND, TOP_UP};
use crate::mutant::Mutant;

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about a process of the operating system"
)]
pub(super) struct Worker {
    pub(super) slot: usize,
    /// New for each life of the process.
    pub(super) id: WorkerId,
    pub(super) incarnation: u32,
    pub(super) running: bool,
    /// SIGSTOP: nothing of the worker happens, its children go on.
    pub(super) stopped: bool,
    pub(super) deferred: Vec<Step>,
    pub(super) cut_off: bool,
    pub(super) draining: bool,
    registered: bool,
    pub(super) offers_rare: bool,
    /// It could not renew in time and has killed everything.
    fenced: bool,
    /// How fast its monotonic clock runs, in millionths.
    clock_rate: i64,
    /// How far ahead its wall clock is; nothing but a mutant reads it.
    wall_clock_off: Micros,
    /// The database's time at the last sample, and when the answer came.
    sample: Micros,
    sampled_at: Micros,
    /// When it must have killed everything.
    fence_at: Micros,
    renew_at: Micros,
    renewing: bool,
    pub(super) claiming: bool,
    /// It is time to ask for whatever is ready; not done yet, because a claim was on its way or there was no room.
    pub(super) asks: bool,
    /// The messages it has taken and not yet acknowledged.
    pub(super) inbox: Vec<u32>,
    pub(super) unacked: Vec<Unacked>,
    pub(super) processes: Vec<Process>,
    /// What the last renewal listed and nobody here runs.
    listed_once: Vec<(usize, u32)>,
    /// Since when it could have taken work.
    pub(super) idle_since: Micros,
}

impl Worker {
    pub(super) fn new(slot: usize) -> Self {
        Self {
            slot,
            id: WorkerId(Uuid::nil()),
            incarnation: 0,
            running: false,
            stopped: false,
            deferred: Vec::new(),
            cut_off: false,
            draining: false,
            registered: false,
            offers_rare: false,
            fenced: false,
            clock_rate: 1_000_000,
            wall_clock_off: 0,
            sample: 0,
            sampled_at: 0,
            fence_at: 0,
            renew_at: 0,
            renewing: false,
            claiming: false,
            asks: false,
            inbox: Vec::new(),
            unacked: Vec::new(),
            processes: Vec::new(),
            listed_once: Vec::new(),
            idle_since: Micros::MAX,
        }
    }

    /// The database's time as this worker knows it: the last sample and what its own clock has counted since the
    /// answer, so it is behind by the way of the answer, and never ahead unless its clock is fast.
    pub(super) fn clock(&self, now: Micros) -> Micros {
        self.sample + (now - self.sampled_at) * self.clock_rate / 1_000_000
    }

    /// When [`Worker::clock`] will show `time`.
    pub(super) fn when_clock_shows(&self, time: Micros) -> Micros {
        let left = time.saturating_sub(self.sample).clamp(0, 1_000_000 * SECOND);
        self.sampled_at + left * 1_000_000 / self.clock_rate + MILLISECOND
    }

    fn take_sample(&mut self, sample: Micros, now: Micros) {
        self.sample = sample;
        self.sampled_at = now;
    }

    fn alive_processes(&self) -> usize {
        self.processes.iter().filter(|process| process.alive).count()
    }

    pub(super) fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.alive_processes())
    }

    pub(super) fn takes_work(&self) -> bool {
        self.running && self.registered && !self.fenced && !self.draining
    }

    /// Whether the broker would hand it a message.
    pub(super) fn consumes(&self) -> bool {
        self.takes_work() && self.inbox.len() < self.room()
    }

    /// Whether it could have taken a task of this kind all the time since then.
    pub(super) fn idle_since(&self, since: Micros, rare: bool) -> bool {
        self.takes_work()
            && !self.stopped
            && !self.claiming
            && self.processes.is_empty()
            && self.idle_since <= since
            && (self.offers_rare || !rare)
    }
}

impl World {
    /// A new process under a new id.
    pub(super) fn boot(&mut self, slot: usize) {
        let incarnation = self.workers[slot].incarnation + 1;
        let drift = if self.faults.clocks_drift {
            draw_drift(&mut self.chance)
        } else {
            0
        };
        let offers_rare = self.chance.happens(500);
        let wall_clock_off = self.chance.time_between(0, 3_600 * SECOND);
        let worker = &mut self.workers[slot];
        *worker = Worker {
            id: worker_id(slot, incarnation),
            incarnation,
            running: true,
            cut_off: worker.cut_off,
            offers_rare,
            clock_rate: 1_000_000 + drift,
            wall_clock_off,
            sample: self.now,
            sampled_at: self.now,
            ..Worker::new(slot)
        };
        self.register(slot);
        self.after(
            TOP_UP,
            Step::TopUp {
                worker: slot,
                incarnation,
            },
        );
    }

    /// The same process under a new id, after the old one was refused.
    fn start_over(&mut self, slot: usize) {
        self.kill_everything(slot);
        self.give_messages_back(slot);
        let worker = &mut self.workers[slot];
        worker.incarnation += 1;
        let incarnation = worker.incarnation;
        worker.id = worker_id(slot, incarnation);
        worker.registered = false;
        worker.fenced = false;
        worker.renewing = false;
        worker.claiming = false;
        worker.asks = false;
        worker.processes.clear();
        worker.listed_once.clear();
        self.register(slot);
        self.after(
            TOP_UP,
            Step::TopUp {
                worker: slot,
                incarnation,
            },
        );
    }

    fn register(&mut self, slot: usize) {
        let lease_expires_at = self.new_lease(slot);
        let worker = &self.workers[slot];
        let statement = Statement::Register {
            id: worker.id,
            offers_rare: worker.offers_rare,
            lease_expires_at,
        };
        let (incarnation, clock) = (worker.incarnation, worker.clock(self.now));
        self.send(statement, Origin::Worker { slot, incarnation }, clock);
    }

    fn new_lease(&self, slot: usize) -> Micros {
        let worker = &self.workers[slot];
        if self.planted.is(Mutant::WorkerClockForLeases) {
            return self.now + worker.wall_clock_off + LEASE;
        }
        worker.clock(self.now) + LEASE
    }

    /// It sends its next renewal at this time, and no other.
    fn renew_at(&mut self, slot: usize, time: Micros) {
        let incarnation = self.workers[slot].incarnation;
        self.workers[slot].renew_at = time;
        self.at(
            time,
            Step::Renew {
                worker: slot,
                incarnation,
            },
        );
    }

    pub(super) fn is_stale(&self, slot: usize, incarnation: u32) -> bool {
        let worker = &self.workers[slot];
        !worker.running || worker.incarnation != incarnation
    }

    /// Whether the step has to wait until the worker goes on.
    pub(super) fn waits(&mut self, slot: usize, step: Step) -> bool {
        let worker = &mut self.workers[slot];
        if worker.stopped {
            worker.deferred.push(step);
        }
        worker.stopped
    }

    pub(super) fn renew(&mut self, slot: usize, incarnation: u32) {
        if self.is_stale(slot, incarnation)
            || self.waits(
                slot,
                Step::Renew {
                    worker: slot,
                    incarnation,
                },
            )
        {
            return;
        }
        let lease_expires_at = self.new_lease(slot);
        let worker = &mut self.workers[slot];
        if worker.renewing || !worker.registered || self.now < worker.renew_at {
            return;
        }
        worker.renewing = true;
        let statement = Statement::Renew {
            id: worker.id,
            lease_expires_at,
        };
        let clock = worker.clock(self.now);
        self.send(statement, Origin::Worker { slot, incarnation }, clock);
    }

    /// A slot became free: messages first, and then whatever else is due.
    pub(super) fn has_room(&mut self, slot: usize) {
        let worker = &self.workers[slot];
        if worker.draining && worker.processes.is_empty() && worker.running {
            self.exit(slot);
            return;
        }
        if worker.processes.is_empty() {
            self.workers[slot].idle_since = self.now;
        }
        let worker = &self.workers[slot];
        if worker.asks || !worker.inbox.is_empty() {
            self.claim(slot, false);
        } else {
            self.hand_out();
        }
    }

    pub(super) fn worker_answered(&mut self, slot: usize, incarnation: u32, flight: &Flight, reply: Reply) {
        if self.is_stale(slot, incarnation) {
            return;
        }
        match reply {
            Reply::Registered { sample } => {
                self.workers[slot].take_sample(sample, self.now);
                self.workers[slot].registered = true;
                self.leased(slot, flight, sample);
                let first = self.now + self.chance.time_between(0, RENEWAL);
                self.renew_at(slot, first);
                self.has_room(slot);
            }
            Reply::Renewed { held, sample } => {
                self.workers[slot].renewing = false;
                self.workers[slot].take_sample(sample, self.now);
                match held {
                    None => {
                        self.note(|| format!("worker {slot} is refused and starts over under a new id"));
                        self.start_over(slot);
                    }
                    Some(held) => self.renewed(slot, flight, sample, &held),
                }
            }
            Reply::Claimed(claimed) => {
                self.acknowledge(slot, flight.sent_at, flight.bound_now);
                let worker = &mut self.workers[slot];
                worker.claiming = false;
                // By its own clock, not by whether the alarm has rung: after a pause this answer may come first.
                let may_start = !worker.fenced && self.now < worker.fence_at;
                for claimed in claimed {
                    // What a fenced worker claimed is handed back when it can renew, or lost with it.
                    if may_start {
                        self.start(slot, claimed);
                    }
                }
                let worker = &self.workers[slot];
                if worker.asks || !worker.inbox.is_empty() {
                    self.claim(slot, false);
                }
            }
            _ => {}
        }
    }

    pub(super) fn worker_unknown(&mut self, slot: usize, incarnation: u32, flight: &Flight) {
        if self.is_stale(slot, incarnation) {
            return;
        }
        match flight.statement {
            // Under a new id: if the first try was applied, its lease began then, and not with the repeat.
            Statement::Register { .. } => self.start_over(slot),
            Statement::Renew { .. } => {
                self.workers[slot].renewing = false;
                self.renew_at(slot, self.now + RENEWAL_AGAIN);
            }
            Statement::Claim { .. } => {
                self.note(|| format!("worker {slot} does not know what it claimed"));
                let worker = &mut self.workers[slot];
                worker.claiming = false;
                for message in std::mem::take(&mut worker.unacked) {
                    self.redeliver(message.id);
                }
                // It asks at once what the database thinks it holds.
                self.renew_at(slot, self.now);
            }
            _ => {}
        }
    }

    /// A fifth of a lease before the end of what it had left when it was given, counted from the request by its own clock,
    /// it must have another or be empty. Not a fifth before the end of a whole lease: the request carried a `now` that lags behind the database by
    /// the way of the last sample and by the drift since, and the lease is shorter by that.
    fn leased(&mut self, slot: usize, flight: &Flight, sample: Micros) {
        let (Statement::Register { lease_expires_at, .. } | Statement::Renew { lease_expires_at, .. }) =
            flight.statement
        else {
            return;
        };
        let sent_at = flight.sent_at;
        let worker = &mut self.workers[slot];
        let left = (lease_expires_at - sample).clamp(0, LEASE);
        let allowed = (left - LEASE / 5).max(0) * 1_000_000 / worker.clock_rate;
        let armed = worker.fence_at > self.now;
        worker.fence_at = worker.fence_at.max(sent_at + allowed);
        let (incarnation, fence_at) = (worker.incarnation, worker.fence_at);
        if worker.fenced {
            worker.fenced = false;
            self.database.sometimes(Marker::FencedWorkerRenewed);
        }
        self.workers[slot].idle_since = self.now;
        if !armed {
            self.at(
                fence_at,
                Step::Fence {
                    worker: slot,
                    incarnation,
                },
            );
        }
    }

    fn renewed(&mut self, slot: usize, flight: &Flight, sample: Micros, held: &[Held]) {
        let sent_at = flight.sent_at;
        let was_idle_since = self.workers[slot].idle_since;
        let was_fenced = self.workers[slot].fenced;
        self.leased(slot, flight, sample);
        if !was_fenced {
            self.workers[slot].idle_since = was_idle_since;
        }
        self.renew_at(slot, sent_at + RENEWAL);
        self.kill_unlisted(slot, sent_at, held);
        let mut listed_once = Vec::new();
        for line in held {
            let mine = self.workers[slot]
                .processes
                .iter()
                .find(|process| (process.task, process.attempt) == (line.task, line.attempt))
                .map(|process| (process.number, process.phase));
            match mine {
                Some((number, Phase::Running)) => {
                    self.learn_deadline(slot, number, line.expires_at);
                    if line.cancel_requested {
                        self.stop_process(slot, number, Stop::Cancel);
                    }
                }
                Some(_) => {}
                None => listed_once.push((line.task, line.attempt)),
            }
        }
        self.hand_back_unknown(slot, listed_once);
    }

    /// What runs here and is not ours any more. A renewal that was sent before the claim's answer came says nothing
    /// about what that claim took.
    fn kill_unlisted(&mut self, slot: usize, sent_at: Micros, held: &[Held]) {
        let unlisted: Vec<u32> = self.workers[slot]
            .processes
            .iter()
            .filter(|process| {
                process.known_at < sent_at
                    && process.alive
                    && !held
                        .iter()
                        .any(|line| (line.task, line.attempt) == (process.task, process.attempt))
            })
            .map(|process| process.number)
            .collect();
        for number in unlisted {
            self.database.sometimes(Marker::UnlistedProcessKilled);
            self.note(|| format!("worker {slot} kills process {number}: it is not its attempt any more"));
            self.workers[slot].processes.retain(|process| process.number != number);
            self.workers[slot].idle_since = self.now;
        }
    }

    /// Listed twice and not running here: a claim whose answer got lost. Not while an answer may still come.
    fn hand_back_unknown(&mut self, slot: usize, listed: Vec<(usize, u32)>) {
        let careless = self.planted.is(Mutant::HandBackWithoutSecondLook);
        let worker = &mut self.workers[slot];
        let before = std::mem::replace(&mut worker.listed_once, listed.clone());
        if (worker.claiming && !careless) || self.planted.is(Mutant::NoHandBack) {
            return;
        }
        let mut again = false;
        for (task, attempt) in listed {
            if before.contains(&(task, attempt)) || careless {
                self.hand_back(slot, task, attempt);
            } else {
                again = true;
            }
        }
        if again {
            self.renew_at(slot, self.now + RENEWAL_AGAIN);
        }
    }

    pub(super) fn fence(&mut self, slot: usize, incarnation: u32) {
        if self.is_stale(slot, incarnation)
            || self.waits(
                slot,
                Step::Fence {
                    worker: slot,
                    incarnation,
                },
            )
        {
            return;
        }
        let fence_at = self.workers[slot].fence_at;
        if self.now < fence_at {
            self.at(
                fence_at,
                Step::Fence {
                    worker: slot,
                    incarnation,
                },
            );
            return;
        }
        if self.planted.is(Mutant::NoSelfFencing) {
            return;
        }
        self.database.sometimes(Marker::WorkerFencedItself);
        self.note(|| format!("worker {slot} could not renew and kills everything"));
        self.workers[slot].fenced = true;
        self.kill_everything(slot);
        self.give_messages_back(slot);
    }

    /// SIGKILL, no grace. What had already ended by itself is still reported.
    pub(super) fn kill_everything(&mut self, slot: usize) {
        self.workers[slot].processes.retain(|process| !process.alive);
    }
}

/// Up to 10 % fast or slow.
fn draw_drift(chance: &mut Chance) -> i64 {
    i64::from(chance.below(200_001)) - 100_000
}

/// Slots and incarnations can be read back from it.
fn worker_id(slot: usize, incarnation: u32) -> WorkerId {
    WorkerId(Uuid::from_u128((slot as u128) << 32 | u128::from(incarnation)))
}

/// For the trace: slot and incarnation.
pub(super) fn label(id: WorkerId) -> String {
    let number = id.0.as_u128();
    format!("{}.{}", number >> 32, number & 0xffff_ffff)
}
