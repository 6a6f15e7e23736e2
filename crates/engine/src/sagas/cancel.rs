//! Cancelling a saga: what was done is undone first.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Input, Rejection, SagaStatus};
use orchestratum_store::{Expected, Request, Saga};

use crate::{Engine, Error};

/// What a cancel found. The saga is as it stands afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum CancelledSaga {
    /// It is cancelled, or undoes first what was done.
    Now(Saga),
    /// The same was asked for before: nothing was done.
    Before(Saga),
}

impl CancelledSaga {
    pub fn into_saga(self) -> Saga {
        match self {
            Self::Now(saga) | Self::Before(saga) => saga,
        }
    }
}

impl Engine {
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaRejected`] where it ended in another way.
    pub async fn cancel_saga(
        &self,
        saga: SagaId,
        reason: Option<String>,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<CancelledSaga, Error> {
        let request = Request {
            input: Input::CancelRequested,
            expected: expected_version.map(Expected::Version),
            actor,
            reason,
        };
        match self.bring(saga, request).await {
            Ok(cancelled) => Ok(CancelledSaga::Now(cancelled.into_saga())),
            Err(
                Error::SagaRejected {
                    rejection: Rejection::AlreadyCancelled,
                    ..
                }
                | Error::SagaRejected {
                    status: SagaStatus::Cancelled,
                    ..
                },
            ) => Ok(CancelledSaga::Before(self.saga(saga).await?)),
            Err(error) => Err(error),
        }
    }
}
