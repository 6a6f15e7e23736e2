//! Waiting for a state, never for a time.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// How long a state may take where the test itself says nothing about time.
const PATIENCE: Duration = Duration::from_secs(30);

const ASK_EVERY: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`.
///
/// # Panics
/// With the last `Err` when it takes longer than half a minute.
pub async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(what: &str, ask: impl FnMut() -> F) -> T {
    eventually_within(PATIENCE, what, ask).await
}

/// Asks until the answer is `Ok`.
///
/// # Panics
/// With the last `Err` when it takes longer than `patience`, and where no answer comes in it.
pub async fn eventually_within<T, E: Debug, F: Future<Output = Result<T, E>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + patience;
    let mut last = None;
    loop {
        match tokio::time::timeout_at(deadline, ask()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) if tokio::time::Instant::now() < deadline => last = Some(error),
            Ok(Err(error)) => panic!("{what}: not within {patience:?}; at last {error:?}"),
            Err(elapsed) => panic!("{what}: no answer within {patience:?} ({elapsed}); before it {last:?}"),
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
