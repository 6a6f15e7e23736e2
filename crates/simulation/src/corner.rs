//! The exhaustive corner: one task, two workers, one sweeper and one crash anywhere, in every order.
//!
//! A seeded schedule reaches deep and samples; this reaches everything that a few steps can reach. It drives the same
//! statements and the same checks. Time moves in strides of half a lease, so that each order of renewal, fence, expiry
//! and rescue occurs, and a state that was seen before is not entered again.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Duration;

use orchestratum_core::WorkerId;
use orchestratum_core::task::{Backoff, Ending, RetryPolicy};
use uuid::Uuid;

use crate::database::{Claim, Database, NewTask, SweepAction};
use crate::invariant::{Invariant, Violation};
use crate::limits::{LEASE, Micros, SECOND, START};
use crate::mutant::{Mutant, Planted};
use crate::trace::Fnv;

/// Half a lease.
const STRIDE: Micros = LEASE / 2;

/// Long enough for a rescue and a second attempt, short enough to pass.
const TIME_TO_LIVE: Micros = 4 * STRIDE;

const STRIDES_MAX: u8 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    Success,
    Failure,
    Expired,
    Cancelled,
    Released,
}

impl End {
    fn ending(self) -> Ending {
        let message = String::new();
        match self {
            Self::Success => Ending::Success,
            Self::Failure => Ending::Failed {
                message,
                retryable: true,
                code: None,
            },
            Self::Expired => Ending::Expired { message },
            Self::Cancelled => Ending::Cancelled { message },
            Self::Released => Ending::Released { message },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work {
    Idle,
    Running {
        attempt: u32,
        deadline: Micros,
    },
    /// Dead; the outcome of its report is not known yet.
    Ended {
        attempt: u32,
        end: End,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Worker {
    incarnation: u32,
    renewed_at: Micros,
    work: Work,
    /// What the last renewal listed and nobody here runs.
    listed_once: Option<u32>,
}

#[derive(Debug, Clone)]
struct Corner {
    database: Database,
    workers: [Worker; 2],
    sweep: Vec<SweepAction>,
    read_at: Micros,
    strides: u8,
    crashed: bool,
    cancelled: bool,
    retried: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Stride,
    Claim { worker: usize, answered: bool },
    End { worker: usize, end: End },
    Report { worker: usize, answered: bool },
    Renew { worker: usize },
    SweepRead,
    SweepWrite,
    CrashWorker { worker: usize },
    CrashSweeper,
    Cancel,
    Retry,
}

/// What the search found.
#[derive(Debug)]
pub struct Explored {
    pub states: usize,
    pub transitions: u64,
    pub violation: Option<(Violation, Vec<String>)>,
}

/// Every order of at most `depth` events; a mutant needs the feature of that name.
pub fn explore(depth: usize, mutant: Option<Mutant>) -> Explored {
    let mut seen: HashSet<u64, BuildHasherDefault<Fnv>> = HashSet::default();
    let start = Corner::new(Planted::new(mutant));
    seen.insert(start.fingerprint());
    let mut states = vec![(start, None::<usize>, Move::Stride)];
    let mut transitions = 0;
    let mut level = 0..1;
    for _ in 0..depth {
        for parent in level.clone() {
            for next in states[parent].0.moves() {
                let mut corner = states[parent].0.clone();
                corner.make(next);
                transitions += 1;
                if let Some(violation) = corner.database.violation.take() {
                    states.push((corner, Some(parent), next));
                    let path = path(&states);
                    return Explored {
                        states: seen.len(),
                        transitions,
                        violation: Some((violation, path)),
                    };
                }
                if seen.insert(corner.fingerprint()) {
                    states.push((corner, Some(parent), next));
                }
            }
        }
        // What was expanded is only needed for its path: the rows can go.
        for (corner, ..) in &mut states[level.clone()] {
            corner.database = Database::default();
        }
        level = level.end..states.len();
    }
    Explored {
        states: seen.len(),
        transitions,
        violation: None,
    }
}

fn path(states: &[(Corner, Option<usize>, Move)]) -> Vec<String> {
    let mut steps = Vec::new();
    let mut at = states.len() - 1;
    while let Some(parent) = states[at].1 {
        steps.push(format!("{:?}", states[at].2));
        at = parent;
    }
    steps.reverse();
    steps
}

fn worker_id(slot: usize, incarnation: u32) -> WorkerId {
    WorkerId(Uuid::from_u128((slot as u128) << 32 | u128::from(incarnation)))
}

impl Corner {
    fn new(planted: Planted) -> Self {
        let mut database = Database {
            now: START,
            planted,
            ..Database::default()
        };
        let policy = RetryPolicy {
            max_retries: 1,
            max_losses: 1,
            backoff: Backoff::Fixed {
                delay: Duration::from_micros(STRIDE.unsigned_abs()),
            },
        };
        database.create(
            &NewTask {
                id: 1,
                key: None,
                body: 0,
                policy,
                delay: 0,
                ttl: TIME_TO_LIVE,
                rare: false,
                priority: 0,
            },
            START,
        );
        let worker = Worker {
            incarnation: 1,
            renewed_at: START,
            work: Work::Idle,
            listed_once: None,
        };
        for slot in 0..2 {
            database.register(worker_id(slot, 1), true, START, START + LEASE);
        }
        Self {
            database,
            workers: [worker; 2],
            sweep: Vec::new(),
            read_at: 0,
            strides: 0,
            crashed: false,
            cancelled: false,
            retried: false,
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = Fnv::default();
        self.database.fingerprint(&mut hasher);
        (self.workers, &self.sweep, self.read_at).hash(&mut hasher);
        (self.crashed, self.cancelled, self.retried).hash(&mut hasher);
        hasher.finish()
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::with_capacity(16);
        if self.strides < STRIDES_MAX {
            moves.push(Move::Stride);
        }
        for (worker, state) in self.workers.iter().enumerate() {
            match state.work {
                Work::Idle => {
                    moves.push(Move::Claim { worker, answered: true });
                    moves.push(Move::Claim {
                        worker,
                        answered: false,
                    });
                }
                Work::Running { .. } => {
                    moves.push(Move::End {
                        worker,
                        end: End::Success,
                    });
                    moves.push(Move::End {
                        worker,
                        end: End::Failure,
                    });
                }
                Work::Ended { .. } => {
                    moves.push(Move::Report { worker, answered: true });
                    moves.push(Move::Report {
                        worker,
                        answered: false,
                    });
                }
            }
            moves.push(Move::Renew { worker });
            if !self.crashed {
                moves.push(Move::CrashWorker { worker });
            }
        }
        if self.sweep.is_empty() {
            moves.push(Move::SweepRead);
        } else {
            moves.push(Move::SweepWrite);
            if !self.crashed {
                moves.push(Move::CrashSweeper);
            }
        }
        if !self.cancelled {
            moves.push(Move::Cancel);
        }
        if !self.retried {
            moves.push(Move::Retry);
        }
        moves
    }

    fn make(&mut self, next: Move) {
        let now = self.database.now;
        match next {
            Move::Stride => self.stride(),
            Move::Claim { worker, answered } => self.claim(worker, answered),
            Move::End { worker, end } => {
                if let Work::Running { attempt, .. } = self.workers[worker].work {
                    self.workers[worker].work = Work::Ended { attempt, end };
                }
            }
            Move::Report { worker, answered } => self.report(worker, answered),
            Move::Renew { worker } => self.renew(worker),
            Move::SweepRead => {
                self.sweep = self.database.sweep_read(true, now);
                self.sweep.reverse();
                self.read_at = now;
            }
            Move::SweepWrite => self.sweep_write(),
            Move::CrashWorker { worker } => {
                self.crashed = true;
                self.start_over(worker);
            }
            Move::CrashSweeper => {
                self.crashed = true;
                self.sweep.clear();
            }
            Move::Cancel => {
                self.cancelled = true;
                let _ = self.database.cancel(0, now);
            }
            Move::Retry => {
                self.retried = true;
                let _ = self.database.retry(0, TIME_TO_LIVE, now);
            }
        }
    }

    /// Time passes, and each worker does what it must have done by then.
    fn stride(&mut self) {
        self.strides += 1;
        self.database.now += STRIDE;
        let now = self.database.now;
        for worker in &mut self.workers {
            if let Work::Running { attempt, deadline } = worker.work {
                if now - worker.renewed_at >= LEASE * 4 / 5 {
                    worker.work = Work::Idle;
                } else if now >= deadline {
                    worker.work = Work::Ended {
                        attempt,
                        end: End::Expired,
                    };
                }
            }
        }
    }

    fn claim(&mut self, slot: usize, answered: bool) {
        let (now, worker) = (self.database.now, self.workers[slot]);
        if now - worker.renewed_at >= LEASE * 4 / 5 {
            return;
        }
        let claim = Claim {
            worker: worker_id(slot, worker.incarnation),
            offers_rare: true,
            named: &[],
            free: 1,
            fill_up: true,
        };
        let claimed = self.database.claim(&claim, now);
        let (Some(claimed), true) = (claimed.first(), answered) else {
            return;
        };
        let other = self.workers[1 - slot].work;
        if let Work::Running { attempt, .. } = other {
            self.database.violate(Invariant::AttemptsDoNotOverlap, || {
                format!("attempt {} starts while attempt {attempt} still runs", claimed.attempt)
            });
        }
        self.workers[slot].work = Work::Running {
            attempt: claimed.attempt,
            deadline: claimed.expires_at,
        };
    }

    fn report(&mut self, slot: usize, answered: bool) {
        let (now, worker) = (self.database.now, self.workers[slot]);
        let Work::Ended { attempt, end } = worker.work else {
            return;
        };
        let id = worker_id(slot, worker.incarnation);
        // Applied, already recorded or refused: in each case the worker is done with it once it knows.
        self.database.report(id, 0, attempt, &end.ending(), 0.0, now);
        if answered {
            self.workers[slot].work = Work::Idle;
        }
    }

    fn renew(&mut self, slot: usize) {
        let now = self.database.now;
        let id = worker_id(slot, self.workers[slot].incarnation);
        let Some(held) = self.database.renew(id, now, now + LEASE) else {
            self.start_over(slot);
            return;
        };
        let worker = &mut self.workers[slot];
        worker.renewed_at = now;
        let line = held.first().copied();
        match (worker.work, line) {
            (Work::Running { attempt, .. }, Some(line)) if line.attempt == attempt => {
                worker.work = if line.cancel_requested {
                    Work::Ended {
                        attempt,
                        end: End::Cancelled,
                    }
                } else {
                    Work::Running {
                        attempt,
                        deadline: line.expires_at,
                    }
                };
            }
            (Work::Running { .. }, _) => worker.work = Work::Idle,
            (Work::Idle, Some(line)) => {
                if worker.listed_once == Some(line.attempt) {
                    worker.listed_once = None;
                    worker.work = Work::Ended {
                        attempt: line.attempt,
                        end: End::Released,
                    };
                } else {
                    worker.listed_once = Some(line.attempt);
                }
            }
            (Work::Idle | Work::Ended { .. }, _) => {}
        }
    }

    /// A process under a new id: its children died with the old one.
    fn start_over(&mut self, slot: usize) {
        let now = self.database.now;
        let incarnation = self.workers[slot].incarnation + 1;
        self.workers[slot] = Worker {
            incarnation,
            renewed_at: now,
            work: Work::Idle,
            listed_once: None,
        };
        self.database
            .register(worker_id(slot, incarnation), true, now, now + LEASE);
    }

    fn sweep_write(&mut self) {
        let Some(action) = self.sweep.pop() else { return };
        let written = self.database.sweep_write(action, self.read_at);
        let SweepAction::MarkDead(id) = action else { return };
        let running = (0..2).any(|slot| {
            let worker = self.workers[slot];
            worker_id(slot, worker.incarnation) == id && matches!(worker.work, Work::Running { .. })
        });
        if written && running {
            self.database.violate(Invariant::AttemptsDoNotOverlap, || {
                format!("worker {id} is declared dead while it runs an attempt")
            });
        }
    }
}

/// The deadline of the corner's task lies on a stride, so that both sides of it are visited.
const _: () = assert!(TIME_TO_LIVE % STRIDE == 0 && STRIDE > 3 * SECOND);
