//! Where commands and sagas are stored: an engine in this process, or a server.

pub(crate) mod embedded;
mod life;
pub(crate) mod remote;

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::SagaId;
use orchestratum_core::saga::DefinitionName;

pub(crate) use self::life::Life;
use crate::entry::Entry;
use crate::saga::{Defined, HistoryEntry, Migrated, Published, Saga, SagaAt};
use crate::sagas::{Change, CheckedEvent, CheckedFilter, CheckedMigration, Page, Start};
use crate::{CommandId, Error, Followers, Status};

#[async_trait]
pub(crate) trait Host: SagaHost {
    async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error>;

    async fn status(&self, id: CommandId) -> Result<Status, Error>;

    /// As it stands when it has ended, or after `patience`.
    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error>;

    async fn followers(&self, id: CommandId) -> Result<Followers, Error>;

    async fn cancel(&self, id: CommandId) -> Result<Status, Error>;
}

/// The names and the ids that it is given can be ones, but nothing else was held against a limit.
#[async_trait]
pub(crate) trait SagaHost: Send + Sync {
    async fn define(&self, name: &DefinitionName, source: String) -> Result<Defined, Error>;

    async fn start_saga(&self, start: Start) -> Result<Saga, Error>;

    async fn publish(
        &self,
        correlation_id: &str,
        definition: Option<DefinitionName>,
        event: CheckedEvent,
    ) -> Result<Published, Error>;

    async fn change(&self, at: SagaAt, change: Change) -> Result<Saga, Error>;

    async fn migrate_saga(&self, at: SagaAt, migration: CheckedMigration) -> Result<Migrated, Error>;

    async fn saga(&self, id: SagaId) -> Result<Saga, Error>;

    /// As it stands when it waits for somebody or is over, or after `patience`.
    async fn wait_for_saga(&self, id: SagaId, patience: Duration) -> Result<Saga, Error>;

    /// Newest first.
    async fn sagas(&self, filter: CheckedFilter, cursor: Option<String>) -> Result<Page<Saga>, Error>;

    async fn saga_history(&self, id: SagaId, cursor: Option<String>) -> Result<Page<HistoryEntry>, Error>;
}
