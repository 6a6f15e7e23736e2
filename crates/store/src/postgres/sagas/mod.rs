//! Sagas. One file a use case.

mod addressees;
mod advance;
mod children;
mod counts;
mod definitions;
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

pub use self::advance::KNOWN_EVENTS;
pub use self::counts::COUNT_LIVE_SAGAS;
pub use self::list::{SAGA_LISTS, SagaListStatements};
pub(super) use self::purge::purge_sagas;
pub use self::series::LAST_OF_SERIES;
pub(super) use self::task_ends::insert_task_ends;
pub use self::write::{OPEN_CHILDREN, OPEN_TASKS, WRITE_SAGAS};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::saga::{CompiledDefinition, DefinitionName, EventName, SagaStatus};
use orchestratum_core::{SagaId, Timestamp};

use super::PostgresStore;
use crate::decide::{self, Bond};
use crate::{
    Addressee, Advance, AdvanceOutcome, Audit, DefinitionHead, DefinitionVersion, Error, FiredTimers, HistoryPage,
    IdempotencyKey, KeyedSaga, MigrateOutcome, MigrateSaga, NewDefinition, NewSaga, PendingTimer, Saga, SagaFilter,
    SagaPage, SagaStore, Stand, StartOutcome, StoredDefinition,
};

#[async_trait]
impl SagaStore for PostgresStore {
    fn takes_offers(&self) -> bool {
        true
    }

    async fn put_definition(
        &self,
        definition: &NewDefinition,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<DefinitionVersion, Error> {
        definitions::put(&self.database, definition, audit, now).await
    }

    async fn definition(&self, name: &DefinitionName, version: Option<u32>) -> Result<Option<StoredDefinition>, Error> {
        definitions::definition(&self.database, name, version).await
    }

    async fn compiled_definition(
        &self,
        name: &DefinitionName,
        version: u32,
    ) -> Result<Option<Arc<CompiledDefinition>>, Error> {
        definitions::compiled_one(&self.database, name, version).await
    }

    async fn definitions(&self, after: Option<&DefinitionName>, limit: usize) -> Result<Vec<DefinitionHead>, Error> {
        definitions::definitions(&self.database, after, limit).await
    }

    async fn definition_versions(
        &self,
        name: &DefinitionName,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<DefinitionHead>, Error> {
        definitions::versions(&self.database, name, before, limit).await
    }

    async fn defined_of(&self, names: &[DefinitionName]) -> Result<BTreeSet<DefinitionName>, Error> {
        definitions::defined_of(&self.database, names).await
    }

    async fn definitions_starting_on(&self, event: &EventName) -> Result<Vec<DefinitionName>, Error> {
        definitions::starting_on(&self.database, event).await
    }

    async fn start_sagas(&self, sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error> {
        start::start(&self.database, sagas, Bond::Each, now).await
    }

    async fn start_sagas_together(&self, sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error> {
        start::start(&self.database, sagas, Bond::AllOrNone, now).await
    }

    async fn saga_of_key(&self, key: &IdempotencyKey) -> Result<Option<KeyedSaga>, Error> {
        keyed::saga(&self.database, key).await
    }

    async fn advance_sagas(&self, advances: &[Advance], now: Timestamp) -> Result<Vec<AdvanceOutcome>, Error> {
        advance::advance(&self.database, advances, now).await
    }

    async fn migrate_saga(&self, migration: &MigrateSaga, now: Timestamp) -> Result<MigrateOutcome, Error> {
        migrate::migrate(&self.database, migration, now).await
    }

    async fn unlooked_sagas(&self, after: Option<SagaId>, limit: usize) -> Result<Vec<SagaId>, Error> {
        read::unlooked(&self.database, after, limit).await
    }

    async fn fire_saga_timers(&self, limit: usize, now: Timestamp) -> Result<FiredTimers, Error> {
        timers::fire(&self.database, limit, now).await
    }

    async fn saga_timers(&self, saga: SagaId, most: usize) -> Result<Vec<PendingTimer>, Error> {
        timers::pending(&self.database, saga, most).await
    }

    async fn saga(&self, saga: SagaId) -> Result<Option<Saga>, Error> {
        read::saga(&self.database, saga).await
    }

    async fn saga_stands(&self, sagas: &[SagaId]) -> Result<Vec<(SagaId, Stand)>, Error> {
        read::stands(&self.database, sagas).await
    }

    async fn count_live_sagas(&self) -> Result<BTreeMap<SagaStatus, u64>, Error> {
        counts::live(&self.database).await
    }

    async fn addressees(&self, correlation_id: &str) -> Result<Vec<Addressee>, Error> {
        addressees::addressees(&self.database, correlation_id).await
    }

    async fn last_of_series(&self, definition: &DefinitionName, key: &str) -> Result<Option<Saga>, Error> {
        series::last(&self.database, definition, key).await
    }

    async fn sagas(&self, filter: &SagaFilter, before: Option<SagaId>, limit: usize) -> Result<SagaPage, Error> {
        decide::list_sagas(&self.database, filter, before, limit).await
    }

    async fn saga_history(&self, saga: SagaId, after: Option<u64>, limit: usize) -> Result<HistoryPage, Error> {
        history::history(&self.database, saga, after, limit).await
    }
}
