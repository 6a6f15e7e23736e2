//! The rows, and what only reads them or adds to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use orchestratum_core::saga::{
    CompiledDefinition, DefinitionName, Input, Instance, InvalidInstance, SagaStatus, StateName, Timer, TimerKind,
};
use orchestratum_core::task::{AttemptOutcome, EndedAttempt, SpecLimits, TaskLife, TaskSpec};
use orchestratum_core::{JsonText, SagaId, Target, TaskId, Timestamp, WorkerId};

use super::RowsMutant;
use crate::decide::{
    Compiled, EventColumns, KnownEvent, SagaHead, SagaName, SagaTaskEnd, Stored, WaitingEvent, without_doubt,
};
use crate::{FiredTimers, NewTask};

/// A row of `sagas`.
#[derive(Debug, Clone)]
pub struct SagaRow {
    pub(super) head: SagaHead,
    pub correlation_id: String,
    pub input: JsonText,
    pub status: SagaStatus,
    /// In its stored form.
    pub stored: JsonText,
}

impl SagaRow {
    pub(super) fn new(head: SagaHead, instance: &Instance) -> Self {
        Self {
            head,
            correlation_id: instance.correlation_id.clone(),
            input: instance.input.clone(),
            status: instance.status(),
            stored: instance.to_stored(),
        }
    }

    /// # Errors
    /// [`InvalidInstance`] where its stored form is damaged.
    pub fn instance(&self) -> Result<Instance, InvalidInstance> {
        let (correlation_id, input) = (self.correlation_id.clone(), self.input.clone());
        Instance::from_stored(self.head.id, correlation_id, input, self.stored.as_str())
    }

    pub const fn id(&self) -> SagaId {
        self.head.id
    }

    pub const fn definition(&self) -> &DefinitionName {
        &self.head.definition
    }

    pub fn parent(&self) -> Option<(SagaId, u32)> {
        self.head.parent
    }

    pub const fn last_seq(&self) -> u64 {
        self.head.last_seq
    }
}

/// A row of `saga_events`.
#[derive(Debug, Clone)]
pub struct EventRow {
    pub id: i64,
    pub saga: SagaId,
    pub(super) columns: EventColumns,
    /// What came of it; `None` until the saga has looked at it.
    pub looked_at: Option<LookedAt>,
}

impl EventRow {
    pub(crate) fn known(&self) -> KnownEvent {
        KnownEvent::stored(self.columns.name.clone(), self.columns.data.clone())
    }

    pub fn event_id(&self) -> Option<&str> {
        self.columns.event_id.as_deref()
    }

    /// `None` of what was refused and is not kept.
    pub fn input(&self) -> Option<Input> {
        self.columns.clone().decode().ok()
    }
}

/// The columns of an event that its saga has looked at.
#[derive(Debug, Clone)]
pub struct LookedAt {
    pub seq: u64,
    pub at: Timestamp,
    /// Why it was refused.
    pub refusal: Option<String>,
    /// Of the saga after it.
    pub version: u64,
    pub from: StateName,
    pub to: StateName,
    pub notes: String,
}

/// A row of `tasks`, with those of `attempts`.
#[derive(Debug, Clone)]
pub struct TaskRow {
    pub spec: TaskSpec,
    pub(super) stored: Stored,
    pub attempts: Vec<EndedAttempt>,
    /// Its first attempt began with the row: a worker went on with it.
    pub is_gone_on_with: bool,
}

impl TaskRow {
    pub const fn life(&self) -> &TaskLife {
        &self.stored.life
    }
}

/// The primary key of `saga_timers`: saga, entry, kind and index.
type TimerKey = (SagaId, u32, i16, u16);

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub(super) limits: SpecLimits,
    pub(super) compiled: Compiled,
    pub sagas: BTreeMap<SagaId, SagaRow>,
    pub(super) names: HashMap<SagaName, SagaId>,
    pub(super) children: BTreeSet<(SagaId, u32, SagaId)>,
    pub events: BTreeMap<i64, EventRow>,
    pub(super) waiting: BTreeSet<(SagaId, i64)>,
    last_event: i64,
    /// Ids of rows whose transactions are slow: others with greater ids are there before them.
    skipped: Vec<i64>,
    pub(super) timers: BTreeMap<TimerKey, Timestamp>,
    pub tasks: BTreeMap<TaskId, TaskRow>,
    pub(super) tasks_of: BTreeSet<(SagaId, u32, TaskId)>,
    /// Those with a row in `dispatches`.
    pub dispatches: BTreeSet<TaskId>,
    /// When the leases of the workers end that nobody has marked dead.
    pub leases: BTreeMap<WorkerId, Timestamp>,
    pub paused: BTreeSet<Target>,
    /// Targets with a rate.
    pub rated: BTreeSet<Target>,
    pub(super) planted: Option<RowsMutant>,
    pub(super) afterwards: Vec<Afterwards>,
}

/// What a planted bug writes in a transaction of its own.
#[derive(Debug, Clone)]
pub(super) enum Afterwards {
    Waiting(Vec<WaitingEvent>),
    LookedAt(Vec<(i64, LookedAt)>),
    Tasks(Vec<NewTask>, HashMap<TaskId, WorkerId>, Timestamp),
}

impl Rows {
    pub fn new(limits: SpecLimits, planted: Option<RowsMutant>) -> Self {
        Self {
            limits,
            planted,
            ..Self::default()
        }
    }

    /// Stores the first version of a definition.
    pub fn define(&mut self, definition: Arc<CompiledDefinition>) {
        let name = definition.definition().name.clone();
        self.compiled.insert((name, 1), definition);
    }

    pub fn definition(&self, name: &DefinitionName) -> Option<&Arc<CompiledDefinition>> {
        self.compiled.get(&(name.clone(), 1))
    }

    pub(super) fn newest<'a>(
        &self,
        names: impl IntoIterator<Item = &'a DefinitionName>,
    ) -> HashMap<DefinitionName, u32> {
        let there = names.into_iter().filter(|name| self.definition(name).is_some());
        there.map(|name| (name.clone(), 1)).collect()
    }

    /// Lets the next row that is inserted have a greater id than one that comes after it.
    pub fn skip_an_id(&mut self) {
        self.last_event += 1;
        self.skipped.push(self.last_event);
    }

    pub(super) fn insert_event(&mut self, saga: SagaId, columns: EventColumns, looked_at: Option<LookedAt>) {
        let id = self.skipped.pop().unwrap_or_else(|| {
            self.last_event += 1;
            self.last_event
        });
        if looked_at.is_none() {
            self.waiting.insert((saga, id));
        }
        let row = EventRow {
            id,
            saga,
            columns,
            looked_at,
        };
        self.events.insert(id, row);
    }

    pub(super) fn insert_waiting(&mut self, events: Vec<WaitingEvent>) {
        for WaitingEvent { saga, columns } in events {
            self.insert_event(saga, columns, None);
        }
    }

    pub(super) fn task_ends(&self, ends: &[SagaTaskEnd]) -> Vec<WaitingEvent> {
        let doubted = ends.iter().filter_map(|end| end.doubted);
        let is_forgotten = self.planted == Some(RowsMutant::WhatIsGivenLeavesNoDoubt);
        let rows = doubted.filter_map(|task| Some((task, self.tasks.get(&task)?)));
        let in_doubt = rows.filter(|(_, row)| {
            let mut outcomes = row.attempts.iter().map(|attempt| attempt.outcome);
            outcomes.any(AttemptOutcome::leaves_doubt) && !(is_forgotten && row.is_gone_on_with)
        });
        let in_doubt = in_doubt.map(|(task, _)| task);
        let in_doubt = in_doubt.collect();
        without_doubt(ends, &in_doubt).iter().map(WaitingEvent::from).collect()
    }

    /// The end of a task once more, which no transaction does: what a saga makes of it is not to depend on that.
    pub fn repeat_end(&mut self, event: i64) {
        if let Some(row) = self.events.get(&event) {
            let (saga, columns) = (row.saga, row.columns.clone());
            self.insert_event(saga, columns, None);
        }
    }

    /// Sagas that have something to look at, in the order of their ids: the first behind `after`.
    pub fn unlooked(&self, after: Option<SagaId>, limit: usize) -> Vec<SagaId> {
        let mut sagas: Vec<SagaId> = self.waiting.iter().map(|(saga, _)| *saga).collect();
        sagas.dedup();
        let behind = sagas.into_iter().filter(|saga| Some(*saga) > after);
        behind.take(limit).collect()
    }

    pub fn has_unlooked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Turns timers that are due into rows to be looked at.
    pub fn fire_timers(&mut self, limit: usize, now: Timestamp) -> FiredTimers {
        let mut due: Vec<(Timestamp, TimerKey)> = self
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(key, at)| (*at, *key))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        for (_, key) in &due {
            if self.planted == Some(RowsMutant::TimersFireAgain) {
                // Later, so that there is an end to it.
                self.timers.insert(*key, now + std::time::Duration::from_secs(600));
            } else {
                self.timers.remove(key);
            }
            if let Some(timer) = timer_of(*key) {
                self.insert_event(key.0, EventColumns::encode(&Input::TimerFired(timer)), None);
            }
        }
        FiredTimers::of(due.into_iter().map(|(_, (saga, ..))| saga), limit)
    }

    /// When the next of them is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.values().min().copied()
    }

    /// Whether nobody goes on with what is to run there.
    pub(super) fn is_closed(&self, target: &Target) -> bool {
        self.paused.contains(target) || self.rated.contains(target)
    }

    /// Whether it may have something.
    pub(super) fn is_live(&self, worker: WorkerId, now: Timestamp) -> bool {
        self.leases.get(&worker).is_some_and(|end| *end > now)
    }

    pub fn timers_of(&self, saga: SagaId) -> impl Iterator<Item = Timer> {
        let all = (saga, 0, i16::MIN, 0)..=(saga, u32::MAX, i16::MAX, u16::MAX);
        self.timers.range(all).filter_map(|(key, _)| timer_of(*key))
    }

    /// The tasks of a saga, by their numbers.
    pub fn tasks_of(&self, saga: SagaId) -> impl Iterator<Item = &TaskRow> {
        let nil = TaskId(uuid::Uuid::nil());
        let all = (saga, 0, nil)..=(saga, u32::MAX, TaskId(uuid::Uuid::max()));
        self.tasks_of.range(all).filter_map(|(_, _, task)| self.tasks.get(task))
    }

    pub fn children_of(&self, saga: SagaId) -> impl Iterator<Item = &SagaRow> {
        let all = (saga, 0, SagaId(uuid::Uuid::nil()))..=(saga, u32::MAX, SagaId(uuid::Uuid::max()));
        self.children
            .range(all)
            .filter_map(|(_, _, child)| self.sagas.get(child))
    }

    /// What a planted bug has left for a transaction of its own is done in one; without a bug there is nothing.
    pub fn write_afterwards(&mut self) {
        for left in std::mem::take(&mut self.afterwards) {
            match left {
                Afterwards::Waiting(events) => self.insert_waiting(events),
                Afterwards::LookedAt(rows) => self.mark(rows),
                Afterwards::Tasks(tasks, taken, now) => self.insert_tasks(tasks, &taken, now),
            }
        }
    }

    /// The process has died before it.
    pub fn forget_afterwards(&mut self) {
        self.afterwards.clear();
    }

    pub(super) fn mark(&mut self, rows: Vec<(i64, LookedAt)>) {
        for (id, looked_at) in rows {
            if let Some(row) = self.events.get_mut(&id) {
                self.waiting.remove(&(row.saga, id));
                row.looked_at = Some(looked_at);
            }
        }
    }
}

fn timer_of((_, entry, kind, index): TimerKey) -> Option<Timer> {
    Some(Timer::of(TimerKind::from_code(kind)?, entry, index))
}
