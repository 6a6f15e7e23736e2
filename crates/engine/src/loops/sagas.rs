//! Timers of sagas that are due; and what reached sagas and was left by a process that died, or by one where no looks were to be had.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orchestratum_core::Timestamp;

use super::{PASS, Pass};
use crate::{Engine, Error, error};

/// Fires the timers that are due.
pub(super) async fn fire(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    let fired = engine.parts.store.fire_saga_timers(PASS, now).await?;
    let pass = Pass {
        done: fired.sagas.len(),
        more: fired.more,
    };
    engine.look_at_sagas(fired.sagas);
    Ok(pass)
}

/// Looks at what nobody has looked at.
pub(super) async fn look(engine: &Engine) -> Result<Pass, Error> {
    let behind = *engine.parts.sagas_behind.lock();
    let sagas = engine.parts.store.unlooked_sagas(behind, PASS).await?;
    let done = sagas.len();
    // Those that cannot be looked at stay, and must not keep it from all that are behind them.
    *engine.parts.sagas_behind.lock() = sagas.last().copied().filter(|_| done == PASS);
    engine.look_at_sagas(sagas);
    // Looks take their time, and what they cannot look at stays: the next pulse sees what is left.
    Ok(Pass { done, more: false })
}

impl Engine {
    /// Fires what is due in so short a time that the loops would be late for it. Whoever started the timer does this, also where no
    /// loops run.
    pub(crate) fn fire_timers_soon(&self, wait: Duration) {
        // One is enough: it fires everything that is due by then.
        if self.parts.firing_planned.swap(true, Ordering::AcqRel) {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            engine.parts.firing_planned.store(false, Ordering::Release);
            if let Err(error) = fire(&engine, engine.parts.clock.now()).await {
                tracing::debug!(error = %error::chain(&error), "left to the loop for timers of sagas");
            }
        });
    }
}
