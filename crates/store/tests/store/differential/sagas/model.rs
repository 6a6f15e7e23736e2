//! Sagas in memory: maps, and the step of the core. Their tasks are told by the databases: how a task goes is the other test's.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;

use orchestratum_core::saga::{
    CompiledDefinition, DefinitionName, Effect, Event, Input, Instance, Rejection, SagaStatus, StateName, Step, Timer,
    step,
};
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{SagaId, Timestamp, WorkerId};
use orchestratum_store::{
    Advance, AdvanceOutcome, Expected, NewSaga, Request, Saga, SagaFilter, Stand, StartOutcome, Task,
};

use super::super::first_difference;
use super::operation::{Answer, Everything, Operation};
use crate::conformance::lab::START;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) worker: WorkerId,
    pub(super) sagas: BTreeMap<SagaId, Row>,
    /// As a database told them last.
    pub(super) tasks: Vec<Task>,
    definitions: BTreeMap<DefinitionName, CompiledDefinition>,
}

/// A saga, and what has reached it and waits.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) saga: Saga,
    pub(super) waiting: VecDeque<Input>,
    timers: BTreeMap<Timer, Timestamp>,
    known: HashMap<String, Event>,
    history: Vec<Entry>,
}

/// What the history must tell of an input.
#[derive(Debug, PartialEq)]
struct Entry {
    refusal: Option<String>,
    version: u64,
    from: StateName,
    to: StateName,
}

/// What a caller is told of a saga.
#[derive(Debug, PartialEq)]
struct Told {
    outcome: Outcome,
    saga: Option<(Saga, Option<Stand>)>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Started,
    Exists,
    NoDefinition,
    Done,
    Repeated,
    Rejected(Rejection),
    VersionMismatch,
    EventIdReused,
    NotFound,
    /// Which nothing here costs enough for.
    Left,
}

impl Model {
    pub(super) fn new(worker: WorkerId, definitions: BTreeMap<DefinitionName, CompiledDefinition>) -> Self {
        Self {
            now: START,
            worker,
            sagas: BTreeMap::new(),
            tasks: Vec::new(),
            definitions,
        }
    }

    /// Does the same, and says where a database has answered something else. `ended` are the tasks that ended with it.
    pub(super) fn follow(
        &mut self,
        operation: &Operation,
        answer: &Answer,
        ended: Vec<(SagaId, Input)>,
    ) -> Result<(), String> {
        match (operation, answer) {
            (Operation::Advance(by), _) => self.now = self.now + *by,
            (Operation::Start(sagas), Answer::Started(outcomes)) => {
                let expected: Vec<Told> = sagas.iter().map(|saga| self.start(saga)).collect();
                same(&expected, &outcomes.iter().map(of_start).collect())?;
            }
            (Operation::Look(advances), Answer::Looked(outcomes)) => {
                let expected = self.look(advances);
                same(&expected, &outcomes.iter().map(of_look).collect())?;
            }
            (Operation::FireTimers, Answer::Fired(fired)) => same(&self.fire(), &fired.sagas)?,
            (Operation::PurgeFinished(before), _) => {
                let is_old = |row: &Row| row.saga.finished_at.is_some_and(|finished_at| finished_at < *before);
                self.sagas.retain(|_, row| !is_old(row));
            }
            (Operation::List(filter), Answer::Listed(listed)) => same(&self.list(filter), listed)?,
            (Operation::Everything, Answer::Everything(told)) => self.meets(told)?,
            (Operation::Claim(_) | Operation::Apply(_), _) => {}
            (operation, answer) => return Err(format!("{operation:?} is not answered by {answer:?}")),
        }
        for (saga, input) in ended {
            let row = self.sagas.get_mut(&saga).ok_or("a task of no saga has ended")?;
            row.waiting.push_back(input);
        }
        Ok(())
    }

    fn start(&mut self, new: &NewSaga) -> Told {
        let is_its = |row: &&Row| {
            row.saga.definition == new.definition && row.saga.instance.correlation_id == new.correlation_id
        };
        if let Some(row) = self.sagas.values().find(is_its) {
            return Told {
                outcome: Outcome::Exists,
                saga: Some((row.saga.clone(), None)),
            };
        }
        let Some(definition) = self.definitions.get(&new.definition) else {
            return Told {
                outcome: Outcome::NoDefinition,
                saga: None,
            };
        };
        let (id, now) = (new.id, self.now);
        let instance = Instance::new(
            definition.definition(),
            id,
            new.correlation_id.clone(),
            new.input.clone(),
        );
        let mut row = Row {
            saga: Saga {
                id,
                definition: new.definition.clone(),
                definition_version: 1,
                parent: None,
                instance,
                created_at: now,
                updated_at: now,
                finished_at: None,
            },
            waiting: VecDeque::new(),
            timers: BTreeMap::new(),
            known: HashMap::from([(new.event.id.clone(), new.event.clone())]),
            history: Vec::new(),
        };
        if let Err(rejection) = row.put(definition, Input::Started(new.event.clone()), now) {
            return Told {
                outcome: Outcome::Rejected(rejection),
                saga: None,
            };
        }
        let saga = Some((row.saga.clone(), None));
        row.is_written();
        self.sagas.insert(id, row);
        Told {
            outcome: Outcome::Started,
            saga,
        }
    }

    /// First at what waits for each, then at what is brought, in the order of the callers.
    fn look(&mut self, advances: &[Advance]) -> Vec<Told> {
        let mut before = BTreeMap::new();
        for id in advances.iter().map(|advance| advance.saga).collect::<BTreeSet<_>>() {
            if let Some(row) = self.sagas.get_mut(&id) {
                before.insert(id, stand(&row.saga.instance));
                let definition = &self.definitions[&row.saga.definition];
                while let Some(input) = row.waiting.pop_front() {
                    // A refusal is in the history.
                    let _ = row.put(definition, input, self.now);
                }
            }
        }
        let outcomes: Vec<(Outcome, Option<Instance>)> = advances
            .iter()
            .map(|advance| match (self.sagas.get_mut(&advance.saga), &advance.request) {
                (None, _) => (Outcome::NotFound, None),
                (Some(_), None) => (Outcome::Done, None),
                (Some(row), Some(request)) => {
                    let definition = &self.definitions[&row.saga.definition];
                    let outcome = row.brought(definition, request, self.now);
                    (outcome, Some(row.saga.instance.clone()))
                }
            })
            .collect();
        // Who brings nothing is told how the saga stands after all of them.
        let told = advances.iter().zip(outcomes).map(|(advance, (outcome, instance))| {
            let row = self.sagas.get(&advance.saga)?;
            let instance = instance.unwrap_or_else(|| row.saga.instance.clone());
            let before = before.insert(advance.saga, stand(&instance));
            let saga = Saga {
                instance,
                ..row.saga.clone()
            };
            Some(Told {
                outcome,
                saga: Some((saga, before)),
            })
        });
        let not_found = || Told {
            outcome: Outcome::NotFound,
            saga: None,
        };
        let told: Vec<Told> = told.map(|told| told.unwrap_or_else(not_found)).collect();
        for advance in advances {
            if let Some(row) = self.sagas.get_mut(&advance.saga) {
                row.is_written();
            }
        }
        told
    }

    /// The sagas of the timers that are due, which wait for them in the order in which they were due.
    fn fire(&mut self) -> Vec<SagaId> {
        let mut fired = Vec::new();
        for (id, row) in &mut self.sagas {
            let due = row.timers.extract_if(.., |_, at| *at <= self.now);
            let mut due: Vec<(Timestamp, u32, i16, u16, Timer)> = due
                .map(|(timer, at)| (at, timer.entry(), timer.kind().code(), timer.index(), timer))
                .collect();
            due.sort_unstable();
            if !due.is_empty() {
                fired.push(*id);
            }
            row.waiting
                .extend(due.into_iter().map(|(.., timer)| Input::TimerFired(timer)));
        }
        fired
    }

    fn list(&self, filter: &SagaFilter) -> Vec<SagaId> {
        let is_shown = |row: &Row| {
            let Saga {
                definition,
                instance,
                updated_at,
                ..
            } = &row.saga;
            let status = instance.status();
            let is_stale = |since: Timestamp| {
                let waits = status == SagaStatus::AwaitingInput && filter.status.is_none();
                !status.is_over() && !waits && *updated_at < since
            };
            filter.definition.as_ref().is_none_or(|name| name == definition)
                && filter.state.as_ref().is_none_or(|state| *state == instance.state)
                && (filter.state.is_none() || filter.status.is_some() || status != SagaStatus::Cancelled)
                && filter.status.is_none_or(|asked| asked == status)
                && filter
                    .correlation_id
                    .as_ref()
                    .is_none_or(|id| *id == instance.correlation_id)
                && filter.parent.is_none_or(|parent| row.saga.parent == Some(parent))
                && filter.unchanged_since.is_none_or(is_stale)
        };
        let rows = self.sagas.iter().rev();
        rows.filter(|(_, row)| is_shown(row)).map(|(id, _)| *id).collect()
    }

    /// Whether all rows are what the core has led to.
    fn meets(&self, told: &Everything) -> Result<(), String> {
        let rows = || self.sagas.values();
        same(&rows().rev().map(|row| row.saga.clone()).collect(), &told.sagas)?;
        let stands = rows().map(|row| (row.saga.id, stand(&row.saga.instance)));
        same(&stands.collect(), &told.stands)?;
        let waiting = rows().filter(|row| !row.waiting.is_empty()).map(|row| row.saga.id);
        same(&waiting.collect(), &told.unlooked)?;
        for (row, history) in rows().rev().zip(&told.histories) {
            let entries = history.iter().map(|entry| Entry {
                refusal: entry.refusal.clone(),
                version: entry.version,
                from: entry.from.clone(),
                to: entry.to.clone(),
            });
            same(&row.history, &entries.collect())?;
            let numbers: Vec<u64> = history.iter().map(|entry| entry.seq).collect();
            same(&(1..=row.history.len() as u64).collect(), &numbers)?;
        }
        Ok(())
    }
}

impl Row {
    fn put(&mut self, definition: &CompiledDefinition, input: Input, now: Timestamp) -> Result<(), Rejection> {
        let saga = &mut self.saga;
        let from = saga.instance.state.clone();
        let stepped = step(definition, saga.instance.clone(), input, &SpecLimits::default(), now);
        let result = stepped.map(|Step { instance, effects, .. }| {
            (saga.instance, saga.updated_at) = (instance, now);
            for effect in effects {
                match effect {
                    Effect::StartTimer { timer, at } => {
                        self.timers.insert(timer, at);
                    }
                    Effect::StopTimers { entry } => self.timers.retain(|timer, _| timer.entry() != entry),
                    Effect::Finished { .. } => {
                        saga.finished_at = Some(now);
                        self.timers.clear();
                    }
                    Effect::IssueTask { .. } | Effect::CancelTask { .. } | Effect::StartSaga { .. } => {}
                }
            }
        });
        self.history.push(Entry {
            refusal: result.as_ref().err().map(ToString::to_string),
            version: saga.instance.version,
            from,
            to: saga.instance.state.clone(),
        });
        result
    }

    /// Whoever reads it next reads its stored form, in which no input and an input that is null are the same.
    fn is_written(&mut self) {
        let instance = &self.saga.instance;
        let (correlation_id, input) = (instance.correlation_id.clone(), instance.input.clone());
        let read = Instance::from_stored(instance.id, correlation_id, input, instance.to_stored().as_str());
        self.saga.instance = read.expect("what was stored can be read");
    }

    fn brought(&mut self, definition: &CompiledDefinition, request: &Request, now: Timestamp) -> Outcome {
        let event = match &request.input {
            Input::EventRaised(event) => Some(event),
            _ => None,
        };
        if let Some(taken) = event.and_then(|event| self.known.get(&event.id)) {
            return if Some(taken) == event {
                Outcome::Repeated
            } else {
                Outcome::EventIdReused
            };
        }
        let instance = &self.saga.instance;
        let is_elsewhere = match request.expected {
            None => false,
            Some(Expected::Version(version)) => version != instance.version,
            Some(Expected::Entry(entry)) => entry != instance.entry,
        };
        if is_elsewhere {
            return Outcome::VersionMismatch;
        }
        match self.put(definition, request.input.clone(), now) {
            Ok(()) => {
                self.known.extend(event.map(|event| (event.id.clone(), event.clone())));
                Outcome::Done
            }
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }
}

fn stand(instance: &Instance) -> Stand {
    Stand {
        status: instance.status(),
        state: instance.state.clone(),
        version: instance.version,
    }
}

fn of_start(outcome: &StartOutcome) -> Told {
    let (outcome, saga) = match outcome {
        StartOutcome::Started(advanced) => (Outcome::Started, Some((advanced.saga.clone(), advanced.before.clone()))),
        StartOutcome::Exists(saga) => (Outcome::Exists, Some((Saga::clone(saga), None))),
        StartOutcome::Replayed(_) | StartOutcome::KeyReused => unreachable!("no start of the script has a key"),
        StartOutcome::NoDefinition => (Outcome::NoDefinition, None),
        StartOutcome::Left => (Outcome::Left, None),
        StartOutcome::Rejected(rejection) => (Outcome::Rejected(rejection.clone()), None),
        StartOutcome::Withheld => unreachable!("each of these starts stands alone"),
    };
    Told { outcome, saga }
}

fn of_look(outcome: &AdvanceOutcome) -> Told {
    let (outcome, advanced) = match outcome {
        AdvanceOutcome::Done(advanced) => (Outcome::Done, Some(advanced)),
        AdvanceOutcome::Repeated(advanced) => (Outcome::Repeated, Some(advanced)),
        AdvanceOutcome::Rejected { rejection, advanced } => (Outcome::Rejected(rejection.clone()), Some(advanced)),
        AdvanceOutcome::EventIdReused { advanced, .. } => (Outcome::EventIdReused, Some(advanced)),
        AdvanceOutcome::NotThere { advanced } => (Outcome::VersionMismatch, Some(advanced)),
        AdvanceOutcome::Left { advanced } => (Outcome::Left, Some(advanced)),
        AdvanceOutcome::NotFound => (Outcome::NotFound, None),
    };
    let saga = advanced.map(|advanced| (advanced.saga.clone(), advanced.before.clone()));
    Told { outcome, saga }
}

pub(super) fn same<T: Debug + PartialEq>(expected: &T, answered: &T) -> Result<(), String> {
    if expected == answered {
        Ok(())
    } else {
        Err(first_difference(&format!("{expected:#?}"), &format!("{answered:#?}")))
    }
}
