//! Looks and starts: read and decided in one call, written in another.

use std::collections::{BTreeSet, HashMap};
use std::future::{Ready, ready};

use futures::FutureExt;
use orchestratum_core::saga::{DefinitionName, Input, Instance, SagaStatus};
use orchestratum_core::{SagaId, Timestamp};

use super::rows::{Afterwards, LookedAt, Rows, SagaRow};
use super::{RowsMutant, planted};
use crate::decide::{
    self, Arrived, ArrivedRows, Beginning, Bond, Cancelled, ChildRow, EventColumns, EventSource, EventWrite, Folded,
    InLine, Known, KnownEvents, SagaHead, SagaName, Starts, WaitingEvent, saga_name,
};
use crate::{Advance, AdvanceOutcome, Consequences, Error, NewSaga, NewTask, Saga, StartOutcome};

/// A look whose transaction is open.
#[derive(Debug)]
pub struct Look {
    advances: Vec<Advance>,
    folded: Vec<Folded>,
    unlooked: Vec<SagaId>,
    again: Vec<SagaId>,
    cut: usize,
    now: Timestamp,
}

/// A start whose transaction is open.
#[derive(Debug)]
pub struct Start {
    starts: Starts,
    now: Timestamp,
}

/// Somebody else has started one of the sagas since: the transaction is to be begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overtaken;

impl Rows {
    /// Locks, reads and decides. Until it is written nobody else may look at these sagas.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where a stored form cannot be read.
    pub fn begin_look(&self, advances: Vec<Advance>, now: Timestamp) -> Result<Look, Error> {
        let ids: BTreeSet<SagaId> = advances.iter().map(|advance| advance.saga).collect();
        let mut locked = Vec::new();
        for row in ids.iter().filter_map(|id| self.sagas.get(id)) {
            let instance = row.instance().map_err(|error| Error::Corrupt {
                table: "sagas",
                column: "instance",
                row: row.head.id.to_string(),
                detail: error.to_string(),
            })?;
            locked.push((row.head.clone(), instance));
        }
        let stopped = self.stopped_children(&locked);
        let look = decide::Look::new(&advances, locked, &self.compiled, &self.limits, now)?;
        let mut look = look.with_offers(&advances).with_stopped(&stopped);
        while let Some(last) = look.reads_on() {
            at_once(look.arrived(self.arrived(&ids, last), no_pause));
        }
        let decide::Looked {
            folded,
            unlooked,
            again,
            cut,
        } = at_once(look.end(self.known(&advances), no_pause));
        Ok(Look {
            advances,
            folded,
            unlooked,
            again,
            cut,
            now,
        })
    }

    /// The children that have not begun, below a saga that is cancelled or over.
    fn stopped_children(&self, locked: &[(SagaHead, Instance)]) -> BTreeSet<SagaId> {
        let children = decide::unbegun_children(locked);
        let mut line = Vec::new();
        let mut next: Vec<SagaId> = children.clone();
        while let Some(id) = next.pop() {
            let Some(row) = self.sagas.get(&id) else { continue };
            let goes_back = matches!(row.status, SagaStatus::Compensating | SagaStatus::CompensationStuck);
            let waiting = self.waiting.range((id, i64::MIN)..=(id, i64::MAX));
            let mut waiting = waiting.filter_map(|(_, event)| self.events.get(event)?.input());
            let parent = row.head.parent.map(|(parent, _)| parent);
            line.push(InLine {
                id,
                parent,
                is_stopped: goes_back || row.status.is_over() || waiting.any(|input| input == Input::CancelRequested),
            });
            next.extend(parent);
        }
        decide::stopped(&children, line)
    }

    /// What waits behind this row, in the order of the rows.
    fn arrived(&self, ids: &BTreeSet<SagaId>, last: i64) -> ArrivedRows {
        let waiting = ids
            .iter()
            .flat_map(|id| self.waiting.range((*id, last.saturating_add(1))..=(*id, i64::MAX)));
        let mut waiting: Vec<(i64, SagaId)> = waiting.map(|(saga, id)| (*id, *saga)).collect();
        waiting.sort_unstable();
        let has_more = waiting.len() > decide::ARRIVED_MAX;
        waiting.truncate(decide::ARRIVED_MAX);
        let arrived = waiting.into_iter().map(|(id, saga)| {
            let input = self.events.get(&id).and_then(super::EventRow::input);
            let input = input.expect("what waits was encoded");
            (saga, Arrived { id, input })
        });
        ArrivedRows {
            rows: arrived.collect(),
            has_more,
        }
    }

    /// Which of the events that are brought were taken before, or wait.
    fn known(&self, advances: &[Advance]) -> HashMap<SagaId, KnownEvents> {
        let mut known: HashMap<SagaId, KnownEvents> = HashMap::new();
        if self.planted == Some(RowsMutant::EventIdsAreForgotten) {
            return known;
        }
        for (saga, event) in decide::brought_events(advances) {
            let taken = self.events.values().find(|row| {
                let is_refused = row
                    .looked_at
                    .as_ref()
                    .is_some_and(|looked_at| looked_at.refusal.is_some());
                row.saga == saga && row.event_id() == Some(event) && !is_refused
            });
            if let Some(row) = taken {
                known.entry(saga).or_default().insert(event.to_owned(), row.known());
            }
        }
        known
    }

    /// Writes it all, and tells each caller what became of what it brought.
    pub fn commit_look(&mut self, look: Look) -> Vec<AdvanceOutcome> {
        let Look {
            advances,
            mut folded,
            unlooked,
            again,
            cut,
            now,
        } = look;
        if self.planted == Some(RowsMutant::LanesAreNotAsked) {
            planted::take_whatever_comes_first(&advances, &mut folded);
        }
        let mut consequences = self.write(&mut folded, now);
        consequences.unlooked.extend(unlooked);
        consequences.again = again;
        consequences.cut = cut;
        let mut outcomes = decide::answers(&advances, folded, consequences, now);
        if self.planted == Some(RowsMutant::AllThatOfferAreGivenTheSame) {
            planted::give_all_the_same(&advances, &mut outcomes);
        }
        outcomes
    }

    /// Decides starts.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the stored form of one that exists cannot be read.
    pub fn begin_start(&self, sagas: &[NewSaga], now: Timestamp) -> Result<Start, Error> {
        let mut existing: HashMap<SagaName, Saga> = HashMap::new();
        for saga in sagas {
            let name = saga_name(&saga.definition, &saga.correlation_id);
            if let Some(row) = self.names.get(&name).and_then(|id| self.sagas.get(id)) {
                let instance = row.instance().map_err(|error| Error::Corrupt {
                    table: "sagas",
                    column: "instance",
                    row: row.head.id.to_string(),
                    detail: error.to_string(),
                })?;
                existing.insert(name, row.head.saga(instance));
            }
        }
        let newest = self.newest(sagas.iter().map(|saga| &saga.definition));
        let versions = decide::wanted_versions(sagas, &newest);
        // No call that is simulated has an idempotency key.
        let known = Known {
            kept: HashMap::new(),
            existing,
        };
        let starts = at_once(Starts::new(
            (sagas, versions),
            known,
            &self.compiled,
            Bond::Each,
            (&self.limits, now),
            no_pause,
        ));
        Ok(Start { starts, now })
    }

    /// Writes them.
    ///
    /// # Errors
    /// [`Overtaken`] where one of them exists by now. Nothing is written.
    pub fn commit_start(&mut self, start: Start) -> Result<Vec<StartOutcome>, Overtaken> {
        let Start { mut starts, now } = start;
        let is_there = |saga: &Folded| {
            let name = saga_name(&saga.head.definition, &saga.instance.correlation_id);
            self.names.contains_key(&name)
        };
        if starts.folded.iter().any(is_there) {
            return Err(Overtaken);
        }
        for saga in &starts.folded {
            self.insert_saga(SagaRow::new(saga.head.clone(), &saga.instance));
        }
        let consequences = self.write(&mut starts.folded, now);
        Ok(starts.outcomes(consequences))
    }

    fn insert_saga(&mut self, row: SagaRow) {
        let name = saga_name(&row.head.definition, &row.correlation_id);
        self.names.insert(name, row.head.id);
        if let Some((parent, number)) = row.head.parent {
            self.children.insert((parent, number, row.head.id));
        }
        self.sagas.insert(row.head.id, row);
    }

    /// In the order of the databases.
    fn write(&mut self, folded: &mut [Folded], now: Timestamp) -> Consequences {
        let mut consequences = Consequences::default();
        if folded.iter().all(|saga| saga.events.is_empty()) {
            return consequences;
        }
        self.cancel(
            &decide::cancelled_tasks(folded, Cancelled::Earlier),
            &mut consequences,
            now,
        );
        for saga in &*folded {
            self.write_saga(saga, now);
        }
        decide::take_back_what_may_not_begin(
            folded,
            |worker| self.is_live(worker, now) || self.planted == Some(RowsMutant::LeasesAreNotAsked),
            |target| self.is_closed(target) && self.planted != Some(RowsMutant::ClosedTargetsAreNotAsked),
        );
        let folded = &*folded;
        self.issue(folded, &mut consequences, now);
        self.cancel(&decide::cancelled_tasks(folded, Cancelled::Now), &mut consequences, now);
        // One that is cancelled by the look that makes it never begins.
        let mut waiting = self.start_children(folded, now);
        waiting.extend(self.cancelled_children(folded));
        let told = decide::told_parents(folded);
        if self.planted == Some(RowsMutant::ParentIsToldAfterwards) {
            self.afterwards.push(Afterwards::Waiting(told));
        } else {
            waiting.extend(told);
        }
        consequences.unlooked.extend(waiting.iter().map(|event| event.saga));
        self.insert_waiting(waiting);
        consequences.next_timer = folded.iter().flat_map(|saga| &saga.timers).map(|timer| timer.at).min();
        consequences
    }

    fn cancel(&mut self, numbers: &[(SagaId, u32)], consequences: &mut Consequences, now: Timestamp) {
        let changes: Vec<_> = self.live_tasks(numbers).into_iter().map(decide::cancel).collect();
        if !changes.is_empty() {
            consequences.cancelled(self.change_tasks(&changes, now));
        }
    }

    fn write_saga(&mut self, saga: &Folded, now: Timestamp) {
        let id = saga.head.id;
        self.sagas.insert(id, SagaRow::new(saga.head.clone(), &saga.instance));
        let mut taken = Vec::new();
        for event in &saga.events {
            let looked_at = looked_at(event, now);
            match &event.source {
                EventSource::Arrived(row) => taken.push((*row, looked_at)),
                EventSource::Brought { columns, .. } => {
                    self.insert_event(id, EventColumns::clone(columns), Some(looked_at));
                }
            }
        }
        if self.planted == Some(RowsMutant::TakenIsWrittenAfterwards) {
            self.afterwards.push(Afterwards::LookedAt(taken));
        } else {
            self.mark(taken);
        }
        let stays = saga.ended && self.planted == Some(RowsMutant::TimersOutliveTheirSaga);
        self.timers.retain(|(owner, entry, ..), _| {
            let is_stopped = (saga.ended && !stays) || saga.stopped.contains(entry);
            *owner != id || !is_stopped
        });
        for write in &saga.timers {
            let timer = write.timer;
            let key = (id, timer.entry(), timer.kind().code(), timer.index());
            let before = self.timers.insert(key, write.at);
            assert!(before.is_none(), "the primary key of saga_timers: {key:?}");
        }
    }

    fn issue(&mut self, folded: &[Folded], consequences: &mut Consequences, now: Timestamp) {
        // Nothing here is unique, so nothing is met.
        let (tasks, unmade) = decide::issued(folded, &HashMap::new());
        let taken = decide::taken(folded);
        consequences.issued(&tasks, &taken, Vec::new(), now);
        let tasks: Vec<NewTask> = tasks.into_iter().cloned().collect();
        let begun = if self.planted == Some(RowsMutant::WhatIsGivenWaits) {
            HashMap::new()
        } else {
            taken
        };
        if self.planted == Some(RowsMutant::TasksAreMadeAfterwards) {
            self.afterwards.push(Afterwards::Tasks(tasks, begun, now));
        } else {
            self.insert_tasks(tasks, &begun, now);
        }
        if !unmade.is_empty() {
            consequences.unlooked.extend(unmade.iter().map(|end| end.place.saga));
            let ends = self.task_ends(&unmade);
            self.insert_waiting(ends);
        }
    }

    fn cancelled_children(&self, folded: &[Folded]) -> Vec<WaitingEvent> {
        let cancels = decide::cancelled(folded);
        let children = cancels.iter().flat_map(|(saga, number)| {
            let of_number = |row: &&SagaRow| row.head.parent == Some((*saga, *number)) && !row.status.is_over();
            self.children_of(*saga)
                .filter(of_number)
                .map(SagaRow::id)
                .collect::<Vec<_>>()
        });
        children.map(WaitingEvent::cancel).collect()
    }

    fn start_children(&mut self, folded: &[Folded], now: Timestamp) -> Vec<WaitingEvent> {
        let names: Vec<&DefinitionName> = decide::definitions_of_children(folded);
        if names.is_empty() {
            return Vec::new();
        }
        let beginnings = self.newest(names).into_iter().filter_map(|(name, version)| {
            let initial = self
                .compiled
                .get(&(name.clone(), version))?
                .definition()
                .initial
                .clone();
            Some((name, Beginning { version, initial }))
        });
        let beginnings = beginnings.collect();
        let (children, mut told) = decide::children(folded, &beginnings);
        for child in children {
            let row = child_row(&child, now);
            let name = saga_name(&row.head.definition, &row.correlation_id);
            let is_new = !self.names.contains_key(&name);
            if is_new {
                self.insert_saga(row);
            }
            told.push(child.inserted(is_new));
        }
        told
    }
}

/// Nobody else waits for the thread.
fn no_pause() -> Ready<()> {
    ready(())
}

/// What only pauses would wait in.
fn at_once<T>(decided: impl Future<Output = T>) -> T {
    decided.now_or_never().expect("a pause that is none")
}

fn looked_at(event: &EventWrite, now: Timestamp) -> LookedAt {
    LookedAt {
        seq: event.seq,
        at: now,
        refusal: event.refusal.clone(),
        version: event.version,
        from: event.from.clone(),
        to: event.to.clone(),
        notes: event.notes.clone(),
    }
}

fn child_row(row: &ChildRow<'_>, now: Timestamp) -> SagaRow {
    let head = SagaHead {
        id: row.id(),
        definition: row.child.definition.clone(),
        definition_version: row.definition_version,
        parent: Some((row.parent.head.id, row.child.number)),
        depth: row.depth,
        origin: row.parent.head.origin.clone(),
        created_at: now,
        updated_at: now,
        finished_at: None,
        last_seq: 0,
        refusals: 0,
    };
    debug_assert_eq!(row.instance.status(), SagaStatus::Running);
    SagaRow::new(head, &row.instance)
}
