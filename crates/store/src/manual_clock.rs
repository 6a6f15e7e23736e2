//! A clock that only its owner moves, for tests of a whole server.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::Timestamp;
use tokio::sync::watch;

/// Stands still until it is told to go on; it never goes back. Every clone is the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<watch::Sender<Timestamp>>);

impl ManualClock {
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(start)))
    }

    pub fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    /// Moves it and wakes whoever waits for that; the time that it shows now.
    pub fn advance(&self, by: Duration) -> Timestamp {
        self.0.send_modify(|now| *now = *now + by);
        self.now()
    }

    /// Tells when it is moved from now on.
    pub fn moves(&self) -> watch::Receiver<Timestamp> {
        self.0.subscribe()
    }
}
