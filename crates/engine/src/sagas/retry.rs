//! Taking a saga that needs attention again from where it failed.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Fields, Input};

use super::Raised;
use super::raise::by_someone;
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
        self.bring(saga, by_someone(Input::Retried { context }, expected_version, actor))
            .await
    }
}
