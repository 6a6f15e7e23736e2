//! The world of the sagas: time, chance, the actors, and what is waiting to happen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use orchestratum_core::task::{SpecLimits, TaskState};
use orchestratum_core::{JsonText, SagaId, TaskId, Timestamp, WorkerId};
use orchestratum_store::memory::Rows;

use super::answers::Asked;
use super::check;
use super::definitions::Definitions;
use super::process::{Open, Process};
use super::scenario::{Closing, Faults, Planned, Scenario, Wish};
use super::workers::Workers;
use crate::chance::Chance;
use crate::coverage::{Coverage, SagaMarker};
use crate::invariant::{Invariant, Violation};
use crate::limits::{MILLISECOND, Micros, SECOND, START, timestamp};
use crate::mutant::Planted;
use crate::swarm::Size;
use crate::trace::Trace;
use crate::world::Outcome;

/// More than any of them takes: a schedule that goes on and on waits for nothing.
const STEPS_MAX: u32 = 20_000;

/// Everything that can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Plan(usize),
    /// What was asked is asked (again), of whichever process is there.
    Ask(usize),
    Begin {
        process: usize,
        incarnation: u32,
    },
    Commit(u32),
    Restart(usize),
    Pulse(u32),
    Claim(TaskId),
    Report(u32),
    /// The answer to an offer is there.
    GoOn(u32),
    /// It was lost, and the answer to a renewal tells of the task.
    HandBack(u32),
    /// The lease of a dead worker is over.
    Rescue(WorkerId),
    /// A target is paused, or gets a rate.
    Close(usize),
    /// A pause is over.
    Open(usize),
    Person(SagaId),
    Heal,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Micros,
    steps: BinaryHeap<Reverse<(Micros, u32, u32, Step)>>,
    scheduled: u32,
    pub(super) chance: Chance,
    pub(super) trace: Trace,
    pub(super) planted: Planted,
    pub(super) coverage: Coverage,
    pub(super) violation: Option<Violation>,
    pub(super) rows: Rows,
    pub(super) definitions: Definitions,
    pub(super) faults: Faults,
    pub(super) persons: u16,
    plan: Vec<Planned>,
    /// Of each saga of the plan.
    pub(super) inputs: Vec<JsonText>,
    pub(super) processes: Vec<Process>,
    /// Sagas under a lock, and which transaction has it.
    pub(super) locks: BTreeMap<SagaId, u32>,
    pub(super) open: BTreeMap<u32, Open>,
    pub(super) last_transaction: u32,
    pub(super) asked: Vec<Asked>,
    /// Reports on their way.
    pub(super) reports: Vec<super::tasks::Report>,
    pub(super) workers: Workers,
    /// How often a worker would go on with the next task of a saga.
    pub(super) goes_on: u16,
    pub(super) closings: Vec<Closing>,
    /// Whom a person will look at.
    pub(super) visits: BTreeSet<SagaId>,
    /// How often persons have tried something with a saga.
    pub(super) patience: BTreeMap<SagaId, u32>,
    /// The pulse that counts, and when it comes.
    pulse: (u32, Option<Micros>),
    pub(super) healed: bool,
}

/// One schedule.
pub(crate) fn run(seed: u64, size: Size, planted: Planted, lines: bool) -> Outcome {
    let mut chance = Chance::new(seed);
    let scenario = Scenario::draw(&mut chance, size);
    let mut world = World::new(seed, scenario, chance, planted, lines);
    world.play();
    Outcome {
        seed,
        trace_hash: world.trace.hash(),
        steps: world.trace.steps(),
        coverage: world.coverage,
        violation: world.violation,
        lines: world.trace.into_lines(),
        ends: Vec::new(),
        took_another_way: false,
    }
}

impl World {
    fn new(seed: u64, scenario: Scenario, chance: Chance, planted: Planted, lines: bool) -> Self {
        let definitions = Definitions::of_seed(seed);
        let mut rows = Rows::new(SpecLimits::default(), planted.in_rows());
        rows.define(definitions.main.clone());
        for child in &definitions.children {
            rows.define(child.clone());
        }
        let Scenario {
            faults,
            processes,
            sagas,
            items,
            calls,
            heals_at,
            persons,
            goes_on,
            closings,
        } = scenario;
        let inputs = (0..sagas).map(|saga| {
            let items: Vec<u32> = (0..items).collect();
            let input = serde_json::json!({"order_id": saga, "customer_id": "c", "items": items, "total": 10});
            JsonText::trusted(input.to_string())
        });
        let mut world = Self {
            now: START,
            steps: BinaryHeap::new(),
            scheduled: 0,
            chance,
            trace: Trace::new(lines),
            planted,
            coverage: Coverage::default(),
            violation: None,
            rows,
            definitions,
            faults,
            persons,
            plan: calls,
            inputs: inputs.collect(),
            processes: (0..processes).map(|_| Process::default()).collect(),
            locks: BTreeMap::new(),
            open: BTreeMap::new(),
            last_transaction: 0,
            asked: Vec::new(),
            reports: Vec::new(),
            workers: Workers::default(),
            goes_on,
            closings,
            visits: BTreeSet::new(),
            patience: BTreeMap::new(),
            pulse: (0, None),
            healed: false,
        };
        for place in 0..world.plan.len() {
            world.schedule(world.plan[place].at, Step::Plan(place));
        }
        for place in 0..world.closings.len() {
            world.schedule(world.closings[place].at, Step::Close(place));
        }
        world.schedule(heals_at, Step::Heal);
        world
    }

    pub(super) fn schedule(&mut self, at: Micros, step: Step) {
        self.scheduled += 1;
        // What happens at one instant happens in an order drawn by the seed.
        let tie = self.chance.below(u32::MAX);
        self.steps.push(Reverse((at, tie, self.scheduled, step)));
    }

    pub(super) fn soon(&mut self, most: Micros, step: Step) {
        let at = self.now + self.chance.time_between(MILLISECOND, most);
        self.schedule(at, step);
    }

    pub(super) fn sometimes(&mut self, marker: SagaMarker) {
        self.coverage.sometimes_of_a_saga(marker);
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }

    pub(super) fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// Until nothing happens any more; then all is cancelled, and until nothing happens any more again.
    fn play(&mut self) {
        self.until_rest();
        if self.violation.is_some() {
            return;
        }
        self.check(check::at_rest);
        self.cancel_all();
        self.until_rest();
        self.check(check::at_rest);
        self.check(check::all_over);
    }

    fn check(&mut self, check: impl FnOnce(&mut Self) -> Result<(), Violation>) {
        if self.violation.is_none()
            && let Err(violation) = check(self)
        {
            self.violate(violation);
        }
    }

    fn until_rest(&mut self) {
        while self.violation.is_none() {
            let Some(Reverse((at, _, _, step))) = self.steps.pop() else {
                return;
            };
            self.now = self.now.max(at);
            self.trace.step(self.now, &step, self.scheduled.into());
            self.happens(step);
            if self.trace.steps() > STEPS_MAX {
                self.violate(Violation {
                    invariant: Invariant::EverythingEnds,
                    detail: format!("after {STEPS_MAX} steps something happens still"),
                });
            }
            self.expect_pulse();
        }
    }

    fn happens(&mut self, step: Step) {
        match step {
            Step::Plan(place) => self.carry_out(place),
            Step::Ask(place) => self.ask_again(place),
            Step::Begin { process, incarnation } => self.begin(process, incarnation),
            Step::Commit(transaction) => self.commit(transaction),
            Step::Restart(process) => self.restart(process),
            Step::Pulse(number) => self.pulse(number),
            Step::Claim(task) => self.claim(task),
            Step::Report(place) => self.report(place),
            Step::GoOn(place) => self.go_on(place),
            Step::HandBack(place) => self.hand_back(place),
            Step::Rescue(worker) => self.rescue(worker),
            Step::Close(place) => self.close(place),
            Step::Open(place) => self.open_again(place),
            Step::Person(saga) => self.person(saga),
            Step::Heal => self.heal(),
        }
    }

    fn carry_out(&mut self, place: usize) {
        let Planned { saga, wish, .. } = self.plan[place];
        let started = self.started(saga);
        match (wish, started) {
            (Wish::Start, _) => self.ask(Asked::start(saga)),
            // There is nobody yet whom it could be for.
            (Wish::Raise { .. } | Wish::Cancel, None) => {}
            (
                Wish::Raise {
                    event,
                    id,
                    is_conditional,
                },
                Some(saga),
            ) => self.raise_any(saga, event, id, is_conditional),
            (Wish::Cancel, Some(saga)) => self.ask(Asked::cancel(saga)),
        }
    }

    /// The id of a saga of the plan, if it was started.
    pub(super) fn started(&self, saga: usize) -> Option<SagaId> {
        let name = &self.definitions.main.definition().name;
        let correlation_id = correlation_id(saga);
        let mut rows = self.rows.sagas.values();
        rows.find(|row| row.correlation_id == correlation_id && row.definition() == name && row.parent().is_none())
            .map(orchestratum_store::memory::SagaRow::id)
    }

    fn heal(&mut self) {
        self.note(|| "from now on nothing fails".to_owned());
        self.healed = true;
        self.faults = Faults::default();
        self.open_all();
        self.persons = 1_000;
        let waiting: Vec<SagaId> = self.rows.sagas.keys().copied().collect();
        for saga in waiting {
            self.expect_person(saga);
        }
    }

    fn cancel_all(&mut self) {
        let live: Vec<SagaId> = self
            .rows
            .sagas
            .values()
            .filter(|row| !row.status.is_over() && row.parent().is_none())
            .map(orchestratum_store::memory::SagaRow::id)
            .collect();
        for saga in live {
            self.ask(Asked::cancel(saga));
        }
    }

    /// The loops look every second where they could find something, and not at all where they could not.
    fn expect_pulse(&mut self) {
        let Some(wake) = self.next_wake() else { return };
        let at = wake.max(self.now + SECOND);
        if self.pulse.1.is_none_or(|expected| expected > at) {
            self.pulse = (self.pulse.0 + 1, Some(at));
            self.schedule(at, Step::Pulse(self.pulse.0));
        }
    }

    fn next_wake(&self) -> Option<Micros> {
        let left = (self.rows.has_unlooked() && !self.nobody_looks()).then_some(self.now);
        let timer = self.rows.next_timer().map(Timestamp::as_micros);
        let tasks = self.rows.tasks.values().filter_map(|row| {
            let life = row.life();
            let expires_at = life.expires_at.as_micros();
            match life.state {
                TaskState::Pending { due_at } => {
                    let opens_at = self.workers.opens_at(&row.spec.target);
                    Some(due_at.as_micros().max(opens_at).min(expires_at))
                }
                TaskState::InProgress { .. } => Some(expires_at + 3 * SECOND),
                TaskState::Completed { .. }
                | TaskState::Failed { .. }
                | TaskState::Expired { .. }
                | TaskState::Cancelled { .. } => None,
            }
        });
        tasks.chain(left).chain(timer).min()
    }

    pub(super) fn nobody_looks(&self) -> bool {
        self.planted.is(crate::mutant::Mutant::NobodyLooksAtWhatWasLeft)
    }

    fn pulse(&mut self, number: u32) {
        if number != self.pulse.0 {
            return;
        }
        self.pulse.1 = None;
        let fired = self.rows.fire_timers(100, timestamp(self.now));
        let mut told = fired.sagas;
        if !told.is_empty() {
            self.note(|| format!("timers fire for {told:?}"));
        }
        if self.chance.happens(self.faults.dies_after_commit) {
            self.sometimes(SagaMarker::DiedAfterCommit);
            told.clear();
        }
        if !self.nobody_looks() {
            // What has just arrived somebody is about to look at; a loop asks all the same.
            told.extend(self.rows.unlooked(None, 100));
        }
        if let Some(process) = self.any_process() {
            self.look_at(process, told);
        }
        self.look_at_tasks();
    }
}

pub(super) fn correlation_id(saga: usize) -> String {
    format!("order {saga}")
}
