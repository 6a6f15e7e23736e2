//! A loop that panics begins again: without it the process would look alive and leave its part undone for ever.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::sleep_unless_stopped;
use crate::error::panic_message;

/// What panicked may panic again at once: this bounds what it costs.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a loop until it returns, which it does when the process stops.
pub(super) async fn supervise<Running>(name: &'static str, stop: CancellationToken, start: impl Fn() -> Running)
where
    Running: Future<Output = ()>,
{
    // What a loop remembers is in its future and gone with it; everything that counts is in the database.
    while let Err(panic) = AssertUnwindSafe(start()).catch_unwind().await {
        let panic = panic_message(panic.as_ref());
        tracing::error!(
            background_loop = name,
            panic,
            "a background loop panicked and begins again"
        );
        metrics::counter!("orchestratum_panics_total", "part" => name).increment(1);
        if !sleep_unless_stopped(PAUSE, &stop).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_begins_again_after_a_pause_until_it_returns() {
        let begun = AtomicU32::new(0);
        let since = tokio::time::Instant::now();
        supervise("test", CancellationToken::new(), || async {
            assert!(begun.fetch_add(1, Ordering::Relaxed) >= 2, "at the disco");
        })
        .await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
        assert!(since.elapsed() >= PAUSE * 2);
    }

    #[tokio::test]
    async fn a_loop_that_panics_does_not_begin_again_in_a_process_that_stops() {
        let stop = CancellationToken::new();
        stop.cancel();
        let begun = AtomicU32::new(0);
        supervise("test", stop, || async {
            begun.fetch_add(1, Ordering::Relaxed);
            panic!("at the disco");
        })
        .await;
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }
}
