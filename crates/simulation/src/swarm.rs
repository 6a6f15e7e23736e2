//! What one seed enables: a random subset of the faults at random rates, and a random plan of calls.
//!
//! A schedule with every fault at once mostly shows that nothing works; one that combines a few reaches deeper.
//! Source: A. Groce et al., "Swarm Testing", ISSTA 2012.

use std::time::Duration;

use orchestratum_core::task::{Backoff, LifePatch, RetryPolicy};

use crate::chance::Chance;
use crate::database::NewTask;
use crate::limits::{MILLISECOND, Micros, SECOND, START, timestamp};

/// How large a schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// At most 3 tasks, 2 or 3 workers: the shape in which most bugs already show.
    Small,
    /// Up to 12 tasks and 4 workers, more calls, more faults.
    Long,
}

/// From this id on, creates are repeats of others under the same key.
const FIRST_REPEATED: u32 = 1_000;

/// Rates in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) statement_lost: u16,
    pub(crate) answer_lost: u16,
    pub(crate) statement_slow: u16,
    pub(crate) message_dropped: u16,
    pub(crate) message_doubled: u16,
    pub(crate) message_slow: u16,
    pub(crate) not_published: u16,
    pub(crate) sweeper_stalls: u16,
    pub(crate) sweeper_dies: u16,
    pub(crate) api_dies: u16,
    pub(crate) handler_fails: u16,
    pub(crate) handler_long: u16,
    pub(crate) handler_deaf: u16,
    pub(crate) clocks_drift: bool,
}

impl Faults {
    /// Nothing that could keep the database, a sweeper or a worker from a statement.
    pub(crate) const fn database_is_calm(&self) -> bool {
        self.statement_lost == 0
            && self.answer_lost == 0
            && self.statement_slow == 0
            && self.sweeper_stalls == 0
            && self.sweeper_dies == 0
    }
}

/// What the nemesis does at a planned time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    Crash { worker: usize },
    Stop { worker: usize, lasts: Micros },
    CutOff { worker: usize, lasts: Micros },
    Drain { worker: usize },
    Purge,
    BrokerDown { lasts: Micros },
    DatabaseDown { lasts: Micros },
}

/// What a client calls at a planned time.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Create(NewTask),
    Cancel { id: u32 },
    Retry { id: u32, ttl: Micros },
    Patch { id: u32, patch: LifePatch },
    Pause(bool),
}

impl Size {
    /// As many as take some seconds.
    pub const fn seeds_a_round(self) -> u64 {
        match self {
            Self::Small => 100_000,
            Self::Long => 20_000,
        }
    }
}

/// What of its plan a seed carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// All of it.
    Free,
    /// Every fault, and nothing that makes an outcome a matter of time: no calls but creates, no deadlines, no timeouts,
    /// no names that only some offer, losses without end. How an attempt ends is drawn from the seed, its task and the
    /// retries that are left. Then the outcome of each task is a function of the seed.
    Decided,
    /// The same without a fault.
    Undisturbed,
}

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) faults: Faults,
    pub(crate) workers: usize,
    pub(crate) strikes: Vec<(Micros, Strike)>,
    pub(crate) operations: Vec<(Micros, Operation)>,
    pub(crate) heals_at: Micros,
}

impl Scenario {
    pub(crate) fn draw(chance: &mut Chance, size: Size) -> Self {
        let (most_tasks, strikes, calls) = match size {
            Size::Small => (3, 3, 3),
            Size::Long => (12, 10, 16),
        };
        let length = match size {
            Size::Small => chance.time_between(20 * SECOND, 80 * SECOND),
            Size::Long => chance.time_between(80 * SECOND, 240 * SECOND),
        };
        let workers = 2 + usize::from(chance.happens(300)) + usize::from(size == Size::Long && chance.happens(500));
        let mut scenario = Self {
            faults: draw_faults(chance),
            workers,
            strikes: Vec::new(),
            operations: Vec::new(),
            heals_at: START + length,
        };
        let tasks = 1 + chance.below(most_tasks);
        for id in 1..=tasks {
            scenario.draw_create(chance, id, length);
        }
        for _ in 0..chance.below(calls + 1) {
            scenario.draw_call(chance, tasks, length);
        }
        if chance.happens(700) {
            for _ in 0..=chance.below(strikes) {
                scenario.draw_strike(chance, length);
            }
        }
        scenario
    }

    pub(crate) fn on(mut self, course: Course) -> Self {
        if course == Course::Free {
            return self;
        }
        self.operations.retain_mut(|(_, operation)| match operation {
            // Not the second create under a key, which wins when the first one is late.
            Operation::Create(new) if new.id < FIRST_REPEATED => {
                new.ttl = 3_600 * SECOND;
                new.rare = false;
                new.policy.max_losses = u16::MAX;
                true
            }
            _ => false,
        });
        // A client that gives up on a create has no outcome to compare.
        self.faults.api_dies = 0;
        if course == Course::Undisturbed {
            self.strikes.clear();
            self.faults = Faults {
                handler_fails: self.faults.handler_fails,
                ..Faults::default()
            };
        }
        self
    }

    fn draw_create(&mut self, chance: &mut Chance, id: u32, length: Micros) {
        let new = NewTask {
            id,
            key: chance.happens(500).then_some(u8::try_from(id).unwrap_or(u8::MAX)),
            body: 0,
            policy: draw_policy(chance),
            delay: if chance.happens(250) {
                chance.time_between(0, 15 * SECOND)
            } else {
                0
            },
            ttl: match chance.below(4) {
                0 => chance.time_between(SECOND, 10 * SECOND),
                1 => chance.time_between(5 * SECOND, 60 * SECOND),
                // So long that nothing but the protocol itself ends it.
                _ => 3_600 * SECOND,
            },
            rare: chance.happens(100),
            priority: u8::try_from(chance.below(3)).unwrap_or(0),
        };
        let at = START + chance.time_between(0, length / 3);
        self.operations.push((at, Operation::Create(new)));
        if chance.happens(300) {
            // The same request by another process of the client, or another one under the same key.
            let again = NewTask {
                id: id + FIRST_REPEATED,
                body: u8::from(chance.happens(200)),
                ..new
            };
            let meanwhile = at + chance.time_between(0, 50 * MILLISECOND);
            if new.key.is_some() {
                self.operations.push((meanwhile, Operation::Create(again)));
            }
        }
    }

    fn draw_call(&mut self, chance: &mut Chance, tasks: u32, length: Micros) {
        let at = START + chance.time_between(0, length);
        let id = 1 + chance.below(tasks);
        let ttl = chance.time_between(SECOND, 60 * SECOND);
        let operation = match chance.below(8) {
            0..=2 => Operation::Cancel { id },
            3..=4 => Operation::Retry { id, ttl },
            5..=6 => Operation::Patch {
                id,
                patch: LifePatch {
                    ttl: chance.happens(600).then_some(Duration::from_micros(ttl.unsigned_abs())),
                    max_retries: chance.happens(200).then_some(1),
                    scheduled_at: chance
                        .happens(200)
                        .then(|| timestamp(at + chance.time_between(0, 5 * SECOND))),
                    touches_what_runs: chance.happens(100),
                },
            },
            _ => {
                let until = at + chance.time_between(0, 10 * SECOND);
                self.operations.push((until, Operation::Pause(false)));
                Operation::Pause(true)
            }
        };
        self.operations.push((at, operation));
    }

    fn draw_strike(&mut self, chance: &mut Chance, length: Micros) {
        let at = START + chance.time_between(0, length);
        let worker = chance.index(self.workers);
        let lasts = chance.time_between(SECOND, 50 * SECOND);
        let strike = match chance.below(12) {
            0..=2 => Strike::Crash { worker },
            3..=5 => Strike::Stop { worker, lasts },
            6..=7 => Strike::CutOff { worker, lasts },
            8 => Strike::Drain { worker },
            9 => Strike::Purge,
            10 => Strike::BrokerDown { lasts },
            _ => Strike::DatabaseDown { lasts: lasts / 2 },
        };
        self.strikes.push((at, strike));
    }
}

fn draw_faults(chance: &mut Chance) -> Faults {
    // Half of the seeds leave the database alone, so that the tight bounds on time can be checked there.
    let database = chance.happens(500);
    let broker = chance.happens(600);
    let mut rate = |enabled: bool, most: u32| {
        if enabled && chance.happens(500) {
            u16::try_from(1 + chance.below(most)).unwrap_or(0)
        } else {
            0
        }
    };
    Faults {
        statement_lost: rate(database, 200),
        answer_lost: rate(database, 250),
        statement_slow: rate(database, 200),
        message_dropped: rate(broker, 1_000),
        message_doubled: rate(broker, 500),
        message_slow: rate(broker, 400),
        not_published: rate(broker, 500),
        sweeper_stalls: rate(database, 600),
        sweeper_dies: rate(database, 300),
        api_dies: rate(database, 500),
        handler_fails: rate(true, 700),
        handler_long: rate(true, 600),
        handler_deaf: rate(true, 400),
        clocks_drift: chance.happens(400),
    }
}

fn draw_policy(chance: &mut Chance) -> RetryPolicy {
    RetryPolicy {
        max_retries: u16::try_from(chance.below(3)).unwrap_or(0),
        max_losses: u16::try_from(chance.below(3)).unwrap_or(0),
        backoff: match chance.below(3) {
            0 => Backoff::None,
            1 => Backoff::Fixed {
                delay: Duration::from_secs(2),
            },
            _ => Backoff::Exponential {
                delay: Duration::from_secs(1),
                max_delay: Duration::from_secs(8),
                jitter: true,
            },
        },
    }
}
