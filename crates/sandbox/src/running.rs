//! A program that runs, from the caller's side.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Error, Finished, Killer, Written};

/// A running program with everything it starts. Dropping it kills them all.
#[derive(Debug)]
pub struct Running {
    /// Sees the run through to its end, also when nobody waits for it.
    watcher: JoinHandle<Result<Finished, Error>>,
    killer: Killer,
    written: Written,
}

impl Running {
    pub(crate) fn new(
        killer: Killer,
        written: Written,
        watch: impl Future<Output = Result<Finished, Error>> + Send + 'static,
    ) -> Self {
        let watcher = tokio::spawn(watch);
        Self {
            watcher,
            killer,
            written,
        }
    }

    /// Waits until the program has ended and every process it started is dead. May be called again when it was
    /// dropped half-way. An error of the program itself, such as a missing file, is told here.
    pub async fn wait(&mut self) -> Result<Finished, Error> {
        match (&mut self.watcher).await {
            Ok(finished) => finished,
            // The runtime is shutting down.
            Err(_) => Err(Error::ShimVanished),
        }
    }

    /// TERM, and KILL after the grace; returns when everything is dead.
    pub async fn stop(&mut self, grace: Duration) -> Result<Finished, Error> {
        self.killer.terminate();
        if let Ok(finished) = timeout(grace, self.wait()).await {
            return finished;
        }
        self.killer.kill();
        self.wait().await
    }

    pub fn killer(&self) -> &Killer {
        &self.killer
    }

    pub fn written(&self) -> &Written {
        &self.written
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.killer.kill();
    }
}
