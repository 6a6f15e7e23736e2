//! Delayed tasks whose time has come become ready.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orchestratum_core::Timestamp;

use super::{PASS, Pass};
use crate::announce::hint;
use crate::{Engine, Error, error};

pub(super) async fn tick(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    let released = engine.parts.store.release_due(now, PASS).await?;
    let pass = Pass::of(released.len());
    engine.became_ready(released.into_iter().map(hint).collect());
    Ok(pass)
}

impl Engine {
    /// Releases what is due in so short a time that the loops would be late for it: a back-off of a tenth of a second
    /// must not take a whole one. Whoever made the task pending does this, also where no loops run.
    pub(crate) fn release_soon(&self, wait: Duration) {
        // One is enough: it releases everything that is due by then.
        if self.parts.release_planned.swap(true, Ordering::AcqRel) {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            engine.parts.release_planned.store(false, Ordering::Release);
            if let Err(error) = tick(&engine, engine.parts.clock.now()).await {
                tracing::debug!(error = %error::chain(&error), "left to the loop for due tasks");
            }
        });
    }
}
