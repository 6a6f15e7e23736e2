//! How long a client is waited for.
//!
//! Clients keep connections in a pool, and a request that is sent in the moment in which its connection is ended fails: so
//! the server must have more patience than the pools of clients, which mostly let go after 90 seconds. Whoever takes many
//! places and says nothing would profit from that, so there is little patience where places are short, and with those that
//! never asked for anything.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_engine::ApiSettings;
use tokio::sync::Semaphore;

/// Places are short when only this part of them is free.
const SHORT_PART: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct Patience {
    headers: Duration,
    idle: Duration,
    places: Arc<Semaphore>,
    places_max: usize,
}

impl Patience {
    /// With as many places as the settings allow, all of them free.
    pub(super) fn new(settings: &ApiSettings) -> Self {
        let places_max = settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            headers: Duration::from_secs_f64(settings.header_timeout_seconds),
            idle: Duration::from_secs_f64(settings.idle_timeout_seconds),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
        }
    }

    /// One is taken by each connection.
    pub(super) fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    /// For a TLS handshake, and for the first request.
    pub(super) fn headers(&self) -> Duration {
        self.headers
    }

    /// With a client that has no request under way; more with one that will ask again, as it asked before.
    pub(super) fn with_an_idle_client(&self, asks_again: bool) -> Duration {
        let short = self.places.available_permits() <= self.places_max / SHORT_PART;
        if asks_again && !short { self.idle } else { self.headers }
    }

    /// Places become short while clients are idle.
    pub(super) fn between_looks(&self) -> Duration {
        self.headers.min(self.idle)
    }
}
