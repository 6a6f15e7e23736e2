//! A compensation that failed for good: a person lets it run again, or has seen to it.

use orchestratum_core::SagaId;
use orchestratum_core::saga::Input;

use super::Raised;
use super::raise::by_someone;
use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaRejected`] where this compensation is not the one that is stuck.
    pub async fn retry_compensation(
        &self,
        saga: SagaId,
        number: u32,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        self.bring(
            saga,
            by_someone(Input::CompensationRetried { number }, expected_version, actor),
        )
        .await
    }

    /// # Errors
    /// As [`retry_compensation`](Self::retry_compensation).
    pub async fn skip_compensation(
        &self,
        saga: SagaId,
        number: u32,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        self.bring(
            saga,
            by_someone(Input::CompensationSkipped { number }, expected_version, actor),
        )
        .await
    }
}
