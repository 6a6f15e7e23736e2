//! Cancelling a saga: what was done is undone first.

use orchestratum_core::SagaId;
use orchestratum_core::saga::Input;
use orchestratum_store::Audit;

use super::Raised;
use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaRejected`] where it is over, or is being cancelled.
    pub async fn cancel_saga(
        &self,
        saga: SagaId,
        reason: Option<String>,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let audit = Audit {
            actor,
            action: "cancel_saga",
            detail: reason,
        };
        self.bring(saga, Input::CancelRequested, expected_version, audit).await
    }
}
