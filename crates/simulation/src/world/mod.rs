//! The world around the database: time, chance, the actors, and what goes wrong between them.

mod broker;
mod claims;
mod client;
mod flight;
mod nemesis;
mod process;
mod sweeper;
mod watch;
mod worker;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use orchestratum_core::task::TaskStatus;

use crate::chance::Chance;
use crate::coverage::Coverage;
use crate::database::Database;
use crate::invariant::{Invariant, Violation};
use crate::limits::{LEASE, LIVENESS, Micros, START};
use crate::mutant::Planted;
use crate::swarm::{Course, Faults, Operation, Scenario, Size, Strike};
use crate::trace::Trace;

use broker::{Broker, Feeder};
use client::Creates;
use flight::Flights;
use process::Fates;
use sweeper::Sweeper;
use watch::Watch;
use worker::Worker;

/// Everything that can happen next. Processes are named by a number of their own, workers by their slot and their
/// incarnation, so that a step that outlived its actor is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    Operation(usize),
    Execute(usize),
    Answer(usize),
    GiveUp(usize),
    Renew { worker: usize, incarnation: u32 },
    TopUp { worker: usize, incarnation: u32 },
    Fence { worker: usize, incarnation: u32 },
    Reap { worker: usize, process: u32 },
    Limit { worker: usize, process: u32 },
    Kill { worker: usize, process: u32 },
    ReportAgain { worker: usize, process: u32 },
    ProcessEnds { worker: usize, process: u32 },
    Deliver { worker: usize, incarnation: u32, id: u32 },
    Enqueue { id: u32 },
    SweepWrite { sweeper: usize },
    Strike(usize),
    Continue { worker: usize, incarnation: u32 },
    Reconnect { worker: usize },
    BrokerUp,
    DatabaseUp,
    Restart { worker: usize },
    Watch(Watch),
    Heal,
}

#[derive(Debug)]
struct World {
    now: Micros,
    steps: BinaryHeap<Reverse<(Micros, u32, u32, Step)>>,
    scheduled: u32,
    chance: Chance,
    trace: Trace,
    planted: Planted,
    database: Database,
    database_down: bool,
    /// When the target was last paused or resumed, or the broker came back.
    open_since: Micros,
    /// Whether this seed leaves the database alone: only then do the tight bounds on time hold.
    calm: bool,
    faults: Faults,
    /// How attempts end: drawn as they begin, as long as anything fails; or decided from the start.
    fates: Option<Fates>,
    operations: Vec<Operation>,
    operations_open: usize,
    strikes: Vec<Strike>,
    workers: Vec<Worker>,
    next_process: u32,
    sweepers: [Sweeper; 2],
    broker: Broker,
    feeder: Feeder,
    flights: Flights,
    creates: Creates,
    heals_at: Micros,
    healed: bool,
    /// When a sweep could find something, as of this many writes.
    next_sweep: (u64, Micros),
}

/// What one seed did.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub trace_hash: u64,
    pub steps: u32,
    pub coverage: Coverage,
    pub violation: Option<Violation>,
    /// The events in words; empty unless they were asked for.
    pub lines: Vec<String>,
    /// How each task ended, where that is decided by the seed.
    pub(crate) ends: Vec<End>,
    /// Run twice, it needed other attempts with its faults than without.
    pub took_another_way: bool,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) task: u32,
    pub(crate) status: TaskStatus,
    pub(crate) retries_left: u16,
    /// How many attempts it took, which faults may well change.
    pub(crate) attempts: u32,
}

/// Runs one seed from the first call to the end of every task.
pub(crate) fn run(seed: u64, size: Size, course: Course, planted: Planted, with_lines: bool) -> Outcome {
    let mut world = World::new(seed, size, course, planted, with_lines);
    world.run();
    Outcome {
        ends: world.ends(),
        took_another_way: false,
        seed,
        trace_hash: world.trace.hash(),
        steps: world.trace.steps(),
        coverage: world.database.coverage,
        violation: world.database.violation,
        lines: world.trace.into_lines(),
    }
}

impl World {
    fn new(seed: u64, size: Size, course: Course, planted: Planted, with_lines: bool) -> Self {
        let mut chance = Chance::new(seed);
        let scenario = Scenario::draw(&mut chance, size).on(course);
        let calm = scenario.faults.database_is_calm()
            && !scenario
                .strikes
                .iter()
                .any(|(_, strike)| matches!(strike, Strike::DatabaseDown { .. } | Strike::CutOff { .. }));
        let mut world = Self {
            now: START,
            steps: BinaryHeap::with_capacity(64),
            scheduled: 0,
            trace: Trace::new(with_lines),
            planted,
            database: Database {
                now: START,
                planted,
                // A clock that is 10 % fast, for as long as a worker may go without a sample.
                clock_slack: if scenario.faults.clocks_drift { LEASE / 10 } else { 0 },
                ..Database::default()
            },
            database_down: false,
            open_since: START,
            calm,
            faults: scenario.faults,
            fates: (course != Course::Free).then_some(Fates {
                seed,
                handler_fails: scenario.faults.handler_fails,
            }),
            operations_open: scenario.operations.len(),
            operations: Vec::with_capacity(scenario.operations.len()),
            strikes: Vec::with_capacity(scenario.strikes.len()),
            workers: Vec::with_capacity(scenario.workers),
            next_process: 0,
            sweepers: [Sweeper::new(&mut chance), Sweeper::new(&mut chance)],
            broker: Broker::default(),
            feeder: Feeder::new(&mut chance),
            flights: Flights::default(),
            creates: Creates::default(),
            heals_at: scenario.heals_at,
            healed: false,
            next_sweep: (u64::MAX, Micros::MAX),
            chance,
        };
        for slot in 0..scenario.workers {
            world.workers.push(Worker::new(slot));
            world.boot(slot);
        }
        for (number, (at, operation)) in scenario.operations.into_iter().enumerate() {
            world.operations.push(operation);
            world.at(at, Step::Operation(number));
        }
        for (number, (at, strike)) in scenario.strikes.into_iter().enumerate() {
            world.strikes.push(strike);
            world.at(at, Step::Strike(number));
        }
        world.at(world.heals_at, Step::Heal);
        world
    }

    fn at(&mut self, time: Micros, step: Step) {
        self.scheduled += 1;
        // What happens at one instant happens in an order drawn by the seed.
        let order = self.chance.below(u32::MAX);
        self.steps
            .push(Reverse((time.max(self.now), order, self.scheduled, step)));
    }

    fn after(&mut self, delay: Micros, step: Step) {
        self.at(self.now + delay, step);
    }

    fn run(&mut self) {
        while self.database.violation.is_none() && !self.is_over() {
            let next = self.steps.peek().map_or(Micros::MAX, |Reverse((time, ..))| *time);
            let (sweep_at, sweeper) = self.next_pulse();
            let feed_at = self.next_feed();
            let time = next.min(sweep_at).min(feed_at);
            if time > self.heals_at + LIVENESS {
                self.nothing_ends();
                break;
            }
            self.now = time;
            self.database.now = time;
            if next == time {
                let Some(Reverse((_, _, _, step))) = self.steps.pop() else {
                    break;
                };
                self.trace.step(time, &step, self.database.writes);
                self.perform(step);
            } else if sweep_at == time {
                self.trace.step(time, &sweeper, self.database.writes);
                self.sweep(sweeper);
            } else {
                self.trace.step(time, &u8::MAX, self.database.writes);
                self.feed();
            }
        }
        if self.database.violation.is_none() {
            self.final_check();
        }
        if let Some(violation) = &self.database.violation {
            self.trace.note(self.now, || format!("VIOLATION {violation}"));
        }
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Operation(number) => self.call(number),
            Step::Execute(flight) => self.execute(flight),
            Step::Answer(flight) => self.answer(flight),
            Step::GiveUp(flight) => self.give_up(flight),
            Step::Renew { worker, incarnation } => self.renew(worker, incarnation),
            Step::TopUp { worker, incarnation } => self.top_up(worker, incarnation),
            Step::Fence { worker, incarnation } => self.fence(worker, incarnation),
            Step::Reap { worker, process } => self.reap(worker, process),
            Step::Limit { worker, process } => self.limit(worker, process),
            Step::Kill { worker, process } => self.kill(worker, process),
            Step::ReportAgain { worker, process } => self.send_report(worker, process),
            Step::ProcessEnds { worker, process } => self.process_ends(worker, process),
            Step::Deliver {
                worker,
                incarnation,
                id,
            } => self.deliver(worker, incarnation, id),
            Step::Enqueue { id } => self.enqueue(id),
            Step::SweepWrite { sweeper } => self.sweep_write(sweeper),
            Step::Strike(number) => self.strike(number),
            Step::Continue { worker, incarnation } => self.go_on(worker, incarnation),
            Step::Reconnect { worker } => self.workers[worker].cut_off = false,
            Step::BrokerUp => {
                self.broker.down = false;
                self.open_since = self.now;
            }
            Step::DatabaseUp => self.database_down = false,
            Step::Restart { worker } => self.restart(worker),
            Step::Watch(watch) => self.watch(watch),
            Step::Heal => self.heal(),
        }
    }

    /// Everything that was asked for is decided, and nobody still has something to say about it.
    fn is_over(&self) -> bool {
        self.operations_open == 0
            && self.database.tasks.iter().all(|row| row.life.status().is_terminal())
            && self.workers.iter().all(|worker| worker.processes.is_empty())
            && self.sweepers.iter().all(Sweeper::is_idle)
    }

    fn ends(&self) -> Vec<End> {
        if self.fates.is_none() {
            return Vec::new();
        }
        let mut ends: Vec<End> = self
            .database
            .tasks
            .iter()
            .map(|row| End {
                task: row.id,
                status: row.life.status(),
                retries_left: row.life.retries_left,
                attempts: row.life.attempt,
            })
            .collect();
        ends.sort_unstable();
        ends
    }

    fn nothing_ends(&mut self) {
        let open: Vec<(u32, TaskStatus)> = self
            .database
            .tasks
            .iter()
            .map(|row| (row.id, row.life.status()))
            .filter(|(_, status)| !status.is_terminal())
            .collect();
        self.database.violate(Invariant::EverythingEnds, || {
            format!("{LIVENESS} µs after the last fault these tasks are still open: {open:?}")
        });
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }
}
