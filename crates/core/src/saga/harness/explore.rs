//! From world to world, until there is none that is new.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;

use serde_json::Value;

use super::key::key;
use super::moves::{Move, Moves, told};
use super::oracle::Oracle;
use super::parts::{actions, active, candidates};
use super::samples::Samples;
use crate::JsonText;
use crate::saga::compiled::CompiledDefinition;
use crate::saga::definition::{Action, Definition, TaskBody};
use crate::saga::fault::Faults;
use crate::saga::instance::{Outcome, SagaEnd};
use crate::saga::names::EventName;
use crate::saga::simulate::World;
use crate::saga::step::{Input, Note, Rejection};
use crate::saga::validate::validate;
use crate::task::SpecLimits;
use crate::time::Timestamp;

/// How many worlds are looked at that differ in more than numbers: more than most sagas have, and a few seconds for the others.
const WORLDS_MAX: usize = 4_000;

/// Explores one definition.
#[derive(Debug)]
pub struct Harness {
    definition: CompiledDefinition,
    samples: Samples,
    worlds: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many worlds there were that differ in more than numbers.
    pub worlds: usize,
    /// How many steps were made.
    pub steps: usize,
    /// Whether nothing is left to be looked at.
    pub is_complete: bool,
    pub ends: BTreeSet<SagaEnd>,
    pub unvisited: BTreeSet<String>,
    /// Names of tasks, compensations and child sagas that no world has started.
    pub never_started: BTreeSet<String>,
    /// Names of steps that have failed.
    pub failed: BTreeSet<String>,
    /// Names of compensations that have run well.
    pub undone: BTreeSet<String>,
    /// Names of compensations that have failed.
    pub not_undone: BTreeSet<String>,
    /// Why transitions could not be made: where it is for want of data, say which the events have.
    pub parked: BTreeSet<String>,
}

/// A rule that was broken, and how one comes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: String,
    /// Everything that happened, the last of which broke it.
    pub way: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after:", self.rule)?;
        for (number, step) in (1..).zip(&self.way) {
            write!(f, "\n  {number}. {step}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// A world to be looked at.
struct Open {
    world: World,
    oracle: Oracle,
    way: Option<usize>,
}

impl Harness {
    /// With data that are guessed from what the expressions ask for.
    ///
    /// # Errors
    /// Everything that is wrong with the definition.
    pub fn new(definition: Definition) -> Result<Self, Faults> {
        let findings = validate(&definition, &SpecLimits::default(), Timestamp::EPOCH);
        if !findings.errors.is_empty() {
            return Err(findings.errors);
        }
        Ok(Self {
            samples: Samples::guessed(&definition),
            definition: CompiledDefinition::new(definition)?,
            worlds: WORLDS_MAX,
        })
    }

    /// With what it may be started; said again, one more.
    ///
    /// # Panics
    /// If the database could not hold it.
    #[must_use]
    pub fn input(mut self, input: &Value) -> Self {
        self.samples
            .add_input(JsonText::of(input).expect("an input can be stored"));
        self
    }

    /// Data that an event may have, and so what tasks may answer that raise it; said again, one more.
    ///
    /// # Panics
    /// If it is no name of an event, or the database could not hold the data.
    #[must_use]
    pub fn event(mut self, name: &str, data: &Value) -> Self {
        let name = EventName::new(name).expect("a name of an event");
        self.samples
            .add_event(name, JsonText::of(data).expect("data can be stored"));
        self
    }

    /// At how many worlds it ends.
    #[must_use]
    pub const fn worlds(mut self, most: usize) -> Self {
        self.worlds = most;
        self
    }

    /// # Errors
    /// The first [`Violation`] that is found.
    pub fn explore(&self) -> Result<Report, Violation> {
        let mut search = Search {
            harness: self,
            limits: SpecLimits::default(),
            moves: Moves::of(self.definition.definition(), &self.samples),
            seen: HashSet::new(),
            open: VecDeque::new(),
            ways: Vec::new(),
            report: Report::default(),
            visited: BTreeSet::new(),
            started: BTreeSet::new(),
        };
        for input in self.samples.inputs() {
            let world = World::new(&self.definition, input.clone());
            search.open.push_back(Open {
                world,
                oracle: Oracle::default(),
                way: None,
            });
        }
        search.run()
    }
}

struct Search<'a> {
    harness: &'a Harness,
    limits: SpecLimits,
    moves: Moves<'a>,
    seen: HashSet<String>,
    open: VecDeque<Open>,
    /// How each world came to be: what happened, and after which.
    ways: Vec<(Option<usize>, String)>,
    report: Report,
    visited: BTreeSet<String>,
    started: BTreeSet<String>,
}

impl Search<'_> {
    fn run(mut self) -> Result<Report, Violation> {
        self.report.is_complete = true;
        while let Some(open) = self.next() {
            if self.report.worlds >= self.harness.worlds {
                self.report.is_complete = false;
                break;
            }
            self.report.worlds += 1;
            self.visited.insert(open.world.instance.state.to_string());
            for next in self.moves.of_world(&open.world) {
                self.make(&open, &next)?;
            }
        }
        let definition = self.harness.definition.definition();
        let states = definition.states.keys().map(ToString::to_string);
        self.report.unvisited = states.filter(|state| !self.visited.contains(state)).collect();
        self.report.never_started = names(definition).filter(|name| !self.started.contains(name)).collect();
        Ok(self.report)
    }

    /// In turns the nearest to the beginning, so that every single failure comes early, and the furthest from it.
    fn next(&mut self) -> Option<Open> {
        if self.report.worlds.is_multiple_of(2) {
            self.open.pop_front()
        } else {
            self.open.pop_back()
        }
    }

    fn make(&mut self, open: &Open, next: &Move) -> Result<(), Violation> {
        let shown = told(&open.world, &next.input);
        self.ways.push((open.way, shown));
        let way = self.ways.len() - 1;
        let result = self.try_make(open, next, way);
        result.map_err(|rule| self.violation(rule, way))
    }

    fn try_make(&mut self, open: &Open, next: &Move, way: usize) -> Result<(), String> {
        if open.world.restored() != open.world.instance {
            return Err("the stored saga is another one when it is read again".to_owned());
        }
        let Open {
            world: before, oracle, ..
        } = open;
        let (mut after, mut oracle) = (before.clone(), oracle.clone());
        let step = match after.put(&self.harness.definition, next.input.clone(), &self.limits) {
            Ok(_) if next.is_refused => return Err("a saga that is over has changed".to_owned()),
            Ok(step) => step,
            Err(_) if next.is_refused => return Ok(()),
            Err(rejection) => {
                return if next.may_refuse(&rejection) {
                    Ok(())
                } else {
                    Err(refused(&rejection))
                };
            }
        };
        self.report.steps += 1;
        let definition = self.harness.definition.definition();
        oracle.observe(definition, before, &next.input, &after, &step)?;
        self.again(&after, &next.input)?;
        self.note(before, &next.input, &after, &step.notes);
        if self.seen.insert(key(&after)) {
            self.open.push_back(Open {
                world: after,
                oracle,
                way: Some(way),
            });
        }
        Ok(())
    }

    /// The end of a task may be told twice: by a worker that never got its answer.
    fn again(&self, after: &World, input: &Input) -> Result<(), String> {
        if let Input::TaskEnded { .. } | Input::CompensationEnded { .. } = input {
            let mut world = after.clone();
            if world.put(&self.harness.definition, input.clone(), &self.limits).is_ok() {
                return Err("an end that is told again counts twice".to_owned());
            }
        }
        Ok(())
    }

    fn note(&mut self, before: &World, input: &Input, after: &World, notes: &[Note]) {
        let report = &mut self.report;
        report.ends.extend(after.end);
        self.started
            .extend(after.running.values().map(|running| running.name.clone()));
        for note in notes {
            if let Note::Transition { from, to, .. } = note {
                self.visited.extend([from.to_string(), to.to_string()]);
            } else if let Note::Parked { reason, .. } = note {
                report.parked.insert(reason.clone());
            }
        }
        let (Input::TaskEnded { number, outcome } | Input::CompensationEnded { number, outcome }) = input else {
            return;
        };
        let Some(running) = before.running.get(number) else {
            return;
        };
        let is_undo = matches!(input, Input::CompensationEnded { .. });
        let names = match (outcome, is_undo) {
            (Outcome::Succeeded { .. }, true) => &mut report.undone,
            (Outcome::Unsuccessful { .. }, true) => &mut report.not_undone,
            (Outcome::Unsuccessful { .. }, false) => &mut report.failed,
            (Outcome::Succeeded { .. }, false) => return,
        };
        names.insert(running.name.clone());
    }

    fn violation(&self, rule: String, way: usize) -> Violation {
        let mut steps = Vec::new();
        let mut at = Some(way);
        while let Some(index) = at {
            let (before, shown) = &self.ways[index];
            steps.push(shown.clone());
            at = *before;
        }
        steps.reverse();
        Violation { rule, way: steps }
    }
}

fn refused(rejection: &Rejection) -> String {
    format!("what must be taken is refused: {rejection}")
}

/// Of everything that a definition may start.
fn names(definition: &Definition) -> impl Iterator<Item = String> {
    let tasks = active(definition).flat_map(actions).filter_map(|action| match action {
        Action::Task(task) => task.body.name(),
        Action::Saga(child) => Some(child.saga.to_string()),
    });
    let registered = active(definition).flat_map(candidates);
    let registered = registered.flat_map(|candidate| &candidate.compensation);
    let armed = active(definition).flat_map(actions).flat_map(Action::compensation);
    tasks.chain(registered.chain(armed).filter_map(TaskBody::name))
}
