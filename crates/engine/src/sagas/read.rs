//! Reading sagas, and waiting until one waits or ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::saga::{CompiledDefinition, Definition, SagaStatus};
use orchestratum_core::{SagaId, Timestamp};
use orchestratum_store::{EventKind, HistoryEntry, HistoryPage, Saga, SagaFilter, SagaPage, StoredDefinition};

use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::SagaNotFound`].
    pub async fn saga(&self, saga: SagaId) -> Result<Saga, Error> {
        self.parts.store.saga(saga).await?.ok_or(Error::SagaNotFound(saga))
    }

    /// The saga when it waits for somebody or is over, or as it is after `patience`, or when
    /// [`stop_waiting`](Self::stop_waiting) was called.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`].
    pub async fn wait_for_saga(&self, saga: SagaId, patience: Duration) -> Result<Saga, Error> {
        // Armed before the first look, so that a change between the look and the wait is not missed.
        let mut waiting = self.parts.saga_waiters.wait_for(saga);
        let found = self.saga(saga).await?;
        if found.instance.status().rests() {
            return Ok(found);
        }
        // Many may wait for long, each for a saga with much context.
        drop(found);
        let _ = tokio::time::timeout(patience, waiting.until_ended()).await;
        self.saga(saga).await
    }

    /// How many there are of each status that something leaves; kept for a while where counting is dear.
    pub async fn count_live_sagas(&self) -> Result<BTreeMap<SagaStatus, u64>, Error> {
        let engine = self.clone();
        let question = async move { Ok(engine.parts.store.count_live_sagas().await?) };
        self.parts.live_sagas.or_ask(question).await
    }

    /// `before` is the `next` of the page before.
    pub async fn sagas(&self, filter: &SagaFilter, before: Option<SagaId>, limit: usize) -> Result<SagaPage, Error> {
        Ok(self.parts.store.sagas(filter, before, limit).await?)
    }

    /// Those of the filter to which nothing has happened for so long. Those that are over are none, and those that wait for an answer
    /// are only if they are asked for by their status: a person may take any time.
    pub async fn stale_sagas(
        &self,
        filter: SagaFilter,
        stale_for: Duration,
        before: Option<SagaId>,
        limit: usize,
    ) -> Result<SagaPage, Error> {
        let now = self.parts.clock.now();
        let filter = SagaFilter {
            unchanged_since: Some((now - stale_for).max(Timestamp::EPOCH)),
            ..filter
        };
        self.sagas(&filter, before, limit).await
    }

    /// What has reached it, in order; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`].
    pub async fn saga_history(&self, saga: SagaId, after: Option<u64>, limit: usize) -> Result<HistoryPage, Error> {
        let mut page = self.parts.store.saga_history(saga, after, limit).await?;
        if page.items.is_empty() {
            self.saga(saga).await?;
        }
        let mut names = Names::default();
        names.learn(&page.items);
        // What ended in this page may have been issued in one before.
        let mut place = after.map(|after| after.saturating_sub(LOOKED_BACK));
        while place < after && !names.are_known(&page.items) {
            let earlier = self.parts.store.saga_history(saga, place, LOOKED_BACK_AT_ONCE).await?;
            names.learn(&earlier.items);
            place = earlier.next.or(after);
        }
        names.tell(&mut page.items);
        Ok(page)
    }

    /// The definition by which a saga runs, as the process keeps it.
    pub(super) async fn running_definition(&self, saga: &Saga) -> Result<Arc<CompiledDefinition>, Error> {
        let (name, version) = (&saga.definition, saga.definition_version);
        let found = self.parts.store.compiled_definition(name, version).await?;
        found.ok_or_else(|| Error::DefinitionNotFound {
            name: name.clone(),
            version: Some(version),
        })
    }
}

/// How many entries before a page are read for the names in it: a history may be long, and a task rarely outlives so much of it.
const LOOKED_BACK: u64 = 1_000;

const LOOKED_BACK_AT_ONCE: usize = 200;

/// How the tasks and child sagas of a saga are called, by their numbers: an entry tells of an end by the number alone.
#[derive(Debug, Default)]
struct Names(BTreeMap<u32, String>);

impl Names {
    fn learn(&mut self, entries: &[HistoryEntry]) {
        for told in entries.iter().map(|entry| &entry.told) {
            let tasks = told.tasks.iter().map(|task| (task.number, task.name.clone()));
            let sagas = told
                .sagas
                .iter()
                .map(|child| (child.number, child.definition.to_string()));
            self.0.extend(tasks.chain(sagas));
        }
    }

    fn are_known(&self, entries: &[HistoryEntry]) -> bool {
        entries
            .iter()
            .filter_map(issued)
            .all(|number| self.0.contains_key(&number))
    }

    fn tell(&self, entries: &mut [HistoryEntry]) {
        for entry in entries {
            if let Some(name) = issued(entry).and_then(|number| self.0.get(&number)) {
                entry.name = Some(name.clone());
            }
        }
    }
}

/// The number of what it tells of, if that is something that was issued.
fn issued(entry: &HistoryEntry) -> Option<u32> {
    match entry.kind {
        EventKind::TaskEnded
        | EventKind::CompensationEnded
        | EventKind::CompensationRetried
        | EventKind::CompensationSkipped => entry.number,
        EventKind::Started
        | EventKind::Event
        | EventKind::Timer
        | EventKind::Cancel
        | EventKind::ParkedRetried
        | EventKind::ParkedDiscarded
        | EventKind::Retried
        | EventKind::Migrated => None,
    }
}

/// What the canonical form says.
pub(super) fn as_data(stored: &StoredDefinition) -> Result<Definition, Error> {
    serde_json::from_str(&stored.canonical).map_err(|error| {
        Error::Store(Arc::new(orchestratum_store::Error::Corrupt {
            table: "saga_definitions",
            column: "canonical",
            row: format!("{}/{}", stored.name, stored.version),
            detail: error.to_string(),
        }))
    })
}
