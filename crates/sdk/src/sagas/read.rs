//! One saga, as it stands or when it waits for somebody.

use std::time::Duration;

use orchestratum_core::SagaId;

use super::{Saga, Sagas};
use crate::Error;

impl Sagas {
    /// A saga as it stands.
    ///
    /// # Errors
    /// [`Error::NoSaga`].
    pub async fn get(&self, saga: SagaId) -> Result<Saga, Error> {
        self.host.saga(saga).await
    }

    /// Waits until a saga is over, or waits for somebody itself: `AwaitingInput`, `NeedsAttention`, `CompensationStuck`. How it ends
    /// is no error.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaStillRunning`] after `patience`.
    pub async fn wait(&self, saga: SagaId, patience: Duration) -> Result<Saga, Error> {
        let found = self.host.wait_for_saga(saga, patience).await?;
        if found.status.rests() {
            Ok(found)
        } else {
            Err(Error::SagaStillRunning {
                saga,
                state: found.state,
                after: patience,
            })
        }
    }
}
