//! Taking a saga that needs attention again from where it failed.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Fields, Input};
use orchestratum_store::Audit;

use super::Raised;
use crate::{Engine, Error};

impl Engine {
    /// Merges `context` into that of the saga, and takes again all that was parked, the oldest first.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaRejected`] where it does not need attention.
    pub async fn retry_saga(
        &self,
        saga: SagaId,
        context: Fields,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let audit = Audit {
            actor,
            action: "retry_saga",
            detail: None,
        };
        self.bring(saga, Input::Retried { context }, expected_version, audit)
            .await
    }
}
