//! Workers come, are seen, and go.

use orchestratum_core::WorkerId;
use orchestratum_store::{Registration, Worker};

use crate::{Engine, Error};

/// The most workers a list shows.
const WORKERS_SHOWN: usize = 1_000;

impl Engine {
    pub async fn register_worker(&self, registration: &Registration) -> Result<(), Error> {
        let _still = self.parts.clock.still().await;
        Ok(self.parts.store.register(registration, self.parts.clock.now()).await?)
    }

    /// The worker has handed everything back and stops.
    pub async fn worker_leaves(&self, worker: WorkerId) -> Result<(), Error> {
        Ok(self.parts.store.leave(worker, self.parts.clock.now()).await?)
    }

    pub async fn workers(&self) -> Result<Vec<Worker>, Error> {
        Ok(self.parts.store.workers(WORKERS_SHOWN).await?)
    }
}
