//! A compensation that failed for good: a person lets it run again, or has seen to it.

use orchestratum_core::SagaId;
use orchestratum_core::saga::Input;
use orchestratum_store::Audit;

use super::Raised;
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
        let audit = Audit {
            actor,
            action: "retry_compensation",
            detail: None,
        };
        self.bring(saga, Input::CompensationRetried { number }, expected_version, audit)
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
        let audit = Audit {
            actor,
            action: "skip_compensation",
            detail: None,
        };
        self.bring(saga, Input::CompensationSkipped { number }, expected_version, audit)
            .await
    }
}
