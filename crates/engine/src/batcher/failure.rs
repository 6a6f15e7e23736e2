//! Why what was asked for by many at once did not come about.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use orchestratum_store as store;

use super::Error;
use crate::error::panic_message;

#[derive(Debug)]
pub(crate) enum Failure {
    Store(store::Error),
    Panic,
}

impl Failure {
    /// Whether the rest of the many may do well without one of them.
    pub(crate) fn may_be_of_one(&self) -> bool {
        matches!(
            self,
            Self::Panic
                | Self::Store(store::Error::Rejected(_) | store::Error::Corrupt { .. } | store::Error::TooMuchAtOnce)
        )
    }

    /// Whether fewer at once may do, whichever they are.
    pub(crate) fn is_of_many(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_of_many())
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Store(error) => Error::Store(Arc::new(error)),
            Self::Panic => Error::Panicked,
        }
    }
}

/// What comes of it; a panic is told, counted for `part`, and is a failure like others. Nothing that it could leave half-way may be used
/// after it.
pub(crate) async fn caught<Answer>(
    part: &'static str,
    performing: impl Future<Output = Result<Answer, store::Error>>,
) -> Result<Answer, Failure> {
    match AssertUnwindSafe(performing).catch_unwind().await {
        Ok(performed) => performed.map_err(Failure::Store),
        Err(panic) => {
            tracing::error!(
                part,
                panic = panic_message(panic.as_ref()),
                "something panicked that is done for many at once"
            );
            metrics::counter!("orchestratum_panics_total", "part" => part).increment(1);
            Err(Failure::Panic)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_may_be_of_one() {
        let failed = caught::<()>("test", async { panic!("at the disco") }).await;
        assert!(failed.is_err_and(|failure| failure.may_be_of_one() && !failure.is_of_many()));
        assert!(caught("test", async { Ok(()) }).await.is_ok());
    }
}
