//! The answer of a person, or a service, that a saga waits for.

use orchestratum_core::saga::{AwaitInput, EventName, State};
use orchestratum_core::{JsonText, SagaId};
use orchestratum_store::Saga;

use super::{RaiseEvent, Raised};
use crate::{Engine, Error};

impl Engine {
    /// What a saga asks for; `None` if it asks nobody.
    pub async fn awaiting(&self, saga: &Saga) -> Result<Option<AwaitInput>, Error> {
        if saga.instance.awaiting.is_none() {
            return Ok(None);
        }
        let definition = self.running_definition(saga).await?;
        Ok(match definition.states.get(&saga.instance.state) {
            Some(State::Active(state)) => state.await_input.clone(),
            Some(State::Final { .. }) | None => None,
        })
    }

    /// Answers what the saga asks for. The answer is for the question that was read: it is refused if the saga has moved on.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaAwaitsNothing`], [`Error::Invalid`] with what the answer breaks of the schema,
    /// [`Error::SagaVersionMismatch`].
    pub async fn answer(
        &self,
        saga: SagaId,
        data: JsonText,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let found = self.saga(saga).await?;
        let version = found.instance.version;
        if let Some(expected) = expected_version
            && expected != version
        {
            return Err(Error::SagaVersionMismatch { saga, current: version });
        }
        let Some(awaited) = self.awaiting(&found).await? else {
            return Err(Error::SagaAwaitsNothing {
                saga,
                status: found.instance.status(),
                state: found.instance.state,
            });
        };
        if let Some(schema) = &awaited.schema {
            super::schema::check(schema, &data).map_err(Error::Invalid)?;
        }
        let name: EventName = awaited.event;
        self.raise(RaiseEvent {
            saga,
            name,
            data,
            // A repeat of the same answer to the same question is the same event.
            id: Some(format!("input/{}", found.instance.entry)),
            expected_version,
            actor,
        })
        .await
    }
}
