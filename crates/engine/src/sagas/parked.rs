//! What could not be done is kept until a person has decided: it is tried again, or dropped.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Cause, Input};

use super::Raised;
use super::raise::by_someone;
use crate::{Engine, Error};

impl Engine {
    /// Tries again what was parked. `event` is the id of the event, or the number of what was parked.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::NothingParked`].
    pub async fn retry_parked(
        &self,
        saga: SagaId,
        event: &str,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let number = self.parked_number(saga, event).await?;
        self.bring(
            saga,
            by_someone(Input::ParkedRetried { number }, expected_version, actor),
        )
        .await
    }

    /// Drops what was parked. `event` is the id of the event, or the number of what was parked.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::NothingParked`].
    pub async fn discard_parked(
        &self,
        saga: SagaId,
        event: &str,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let number = self.parked_number(saga, event).await?;
        self.bring(
            saga,
            by_someone(Input::ParkedDiscarded { number }, expected_version, actor),
        )
        .await
    }

    async fn parked_number(&self, saga: SagaId, event: &str) -> Result<u32, Error> {
        let found = self.saga(saga).await?;
        let by_event = found.instance.parked.iter().find(|parked| match &parked.cause {
            Cause::Event(parked) => parked.id == event,
            _ => false,
        });
        let by_number = || {
            let number: u32 = event.parse().ok()?;
            found.instance.parked.iter().find(|parked| parked.number == number)
        };
        let parked = by_event.or_else(by_number);
        parked.map(|parked| parked.number).ok_or_else(|| Error::NothingParked {
            saga,
            event: event.to_owned(),
        })
    }
}
