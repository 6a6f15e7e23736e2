//! Sagas. One file a use case.

mod addressees;
mod advance;
mod counts;
mod definitions;
mod events;
mod history;
mod keyed;
mod list;
mod migrate;
mod purge;
mod read;
mod row;
mod series;
mod start;
mod stopped;
mod task_ends;
mod timers;
mod write;

pub(super) use self::purge::{purge_candidates, purge_sagas};
pub(super) use self::task_ends::insert_task_ends;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::saga::{CompiledDefinition, DefinitionName, EventName, SagaStatus};
use orchestratum_core::{SagaId, Timestamp};

use super::SqliteStore;
use crate::decide::{self, Bond};
use crate::{
    Addressee, Advance, AdvanceOutcome, Audit, DefinitionHead, DefinitionVersion, Error, FiredTimers, HistoryPage,
    IdempotencyKey, KeyedSaga, MigrateOutcome, MigrateSaga, NewDefinition, NewSaga, PendingTimer, Saga, SagaFilter,
    SagaPage, SagaStore, Stand, StartOutcome, StoredDefinition,
};

#[async_trait]
impl SagaStore for SqliteStore {
    async fn put_definition(
        &self,
        definition: &NewDefinition,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<DefinitionVersion, Error> {
        definitions::put(self, definition, audit, now).await
    }

    async fn definition(&self, name: &DefinitionName, version: Option<u32>) -> Result<Option<StoredDefinition>, Error> {
        definitions::definition(self, name, version).await
    }

    async fn compiled_definition(
        &self,
        name: &DefinitionName,
        version: u32,
    ) -> Result<Option<Arc<CompiledDefinition>>, Error> {
        definitions::compiled_one(self, name, version).await
    }

    async fn definitions(&self, after: Option<&DefinitionName>, limit: usize) -> Result<Vec<DefinitionHead>, Error> {
        definitions::definitions(self, after, limit).await
    }

    async fn definition_versions(
        &self,
        name: &DefinitionName,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<DefinitionHead>, Error> {
        definitions::versions(self, name, before, limit).await
    }

    async fn defined_of(&self, names: &[DefinitionName]) -> Result<BTreeSet<DefinitionName>, Error> {
        definitions::defined_of(self, names).await
    }

    async fn definitions_starting_on(&self, event: &EventName) -> Result<Vec<DefinitionName>, Error> {
        definitions::starting_on(self, event).await
    }

    async fn start_sagas(&self, sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error> {
        start::start(self, sagas, Bond::Each, now).await
    }

    async fn start_sagas_together(&self, sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error> {
        start::start(self, sagas, Bond::AllOrNone, now).await
    }

    async fn saga_of_key(&self, key: &IdempotencyKey) -> Result<Option<KeyedSaga>, Error> {
        keyed::saga(self, key).await
    }

    async fn advance_sagas(&self, advances: &[Advance], now: Timestamp) -> Result<Vec<AdvanceOutcome>, Error> {
        advance::advance(self, advances, now).await
    }

    async fn migrate_saga(&self, migration: &MigrateSaga, now: Timestamp) -> Result<MigrateOutcome, Error> {
        migrate::migrate(self, migration, now).await
    }

    async fn unlooked_sagas(&self, after: Option<SagaId>, limit: usize) -> Result<Vec<SagaId>, Error> {
        read::unlooked(self, after, limit).await
    }

    async fn fire_saga_timers(&self, limit: usize, now: Timestamp) -> Result<FiredTimers, Error> {
        timers::fire(self, limit, now).await
    }

    async fn saga_timers(&self, saga: SagaId, most: usize) -> Result<Vec<PendingTimer>, Error> {
        timers::pending(self, saga, most).await
    }

    async fn saga(&self, saga: SagaId) -> Result<Option<Saga>, Error> {
        read::saga(self, saga).await
    }

    async fn saga_stands(&self, sagas: &[SagaId]) -> Result<Vec<(SagaId, Stand)>, Error> {
        read::stands(self, sagas).await
    }

    async fn count_live_sagas(&self) -> Result<BTreeMap<SagaStatus, u64>, Error> {
        counts::live(self).await
    }

    async fn addressees(&self, correlation_id: &str) -> Result<Vec<Addressee>, Error> {
        addressees::addressees(self, correlation_id).await
    }

    async fn last_of_series(&self, definition: &DefinitionName, key: &str) -> Result<Option<Saga>, Error> {
        series::last(self, definition, key).await
    }

    async fn sagas(&self, filter: &SagaFilter, before: Option<SagaId>, limit: usize) -> Result<SagaPage, Error> {
        decide::list_sagas(self, filter, before, limit).await
    }

    async fn saga_history(&self, saga: SagaId, after: Option<u64>, limit: usize) -> Result<HistoryPage, Error> {
        history::history(self, saga, after, limit).await
    }
}
