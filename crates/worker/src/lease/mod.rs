//! Who may run at all: the lease of this worker, and what follows from its renewals.
//!
//! ```text
//!   keeper (own thread, own runtime)              steward (the worker's runtime)
//!     renews every min(L/3, 2 s), or at once        hands back what the database lists and nobody here runs
//!     fences: none in time, kills all          ──►  cancels, moves deadlines, kills what is not listed
//!     lost: kills all                          ──►  registers under a new id
//! ```
//!
//! The keeper kills without the worker's runtime: that may be the very thing that is stuck.
//!
//! The fence stands a fifth of a lease before the end of what the lease had left *by the clock of the database* when it
//! answered, counted from when the renewal was *sent* by the worker's own monotonic clock. Not a fifth before the end of a
//! whole lease: its end was written by a clock that is behind by the way of its sample and by its drift since, and the
//! lease is shorter by as much. The fifth is for a monotonic clock that is slow, by up to as much, and for the kill. A
//! registration is no answer that says what is left, so it lets nothing begin: the first renewal does.

mod keeper;
mod reconcile;
mod steward;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orchestratum_core::WorkerId;
use orchestratum_store::Holding;
use tokio::time::Instant;

pub(crate) use keeper::Keeper;
pub(crate) use steward::Steward;

/// What the keeper tells the steward.
#[derive(Debug)]
pub(crate) enum Event {
    Renewed { sent: Instant, holdings: Vec<Holding> },
    Lost { worker: WorkerId },
}

/// Shows the keeper that the worker's runtime still runs things.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    start: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Heartbeat {
    /// How long the runtime may be stuck before the lease is let go: whoever waits for its tasks waits in vain.
    const PATIENCE: Duration = Duration::from_secs(60);

    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ms: Arc::default(),
        }
    }

    pub(crate) fn beat(&self) {
        self.last_ms.store(self.elapsed_ms(), Ordering::Release);
    }

    fn is_stopped(&self) -> bool {
        let silent_ms = self.elapsed_ms().saturating_sub(self.last_ms.load(Ordering::Acquire));
        Duration::from_millis(silent_ms) > Self::PATIENCE
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
