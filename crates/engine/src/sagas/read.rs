//! Reading sagas, and waiting until one waits or ends.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::saga::{CompiledDefinition, Definition};
use orchestratum_core::{SagaId, Timestamp};
use orchestratum_store::{HistoryPage, Saga, SagaFilter, SagaPage, StoredDefinition};

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
        let page = self.parts.store.saga_history(saga, after, limit).await?;
        if page.items.is_empty() {
            self.saga(saga).await?;
        }
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
