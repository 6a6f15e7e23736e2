//! Workers of targets with a rate are woken when a start is there: nobody else would tell them.

use orchestratum_core::Timestamp;
use orchestratum_store::Pulse;

use crate::{Engine, error};

/// When the next start is there that a ready task may wait for: where there is one now, others follow it.
pub(super) async fn tick(engine: &Engine, pulse: &Pulse, now: Timestamp) -> Option<Timestamp> {
    if pulse.rates == 0 {
        return None;
    }
    let rated = match engine.parts.store.rated_targets().await {
        Ok(rated) => rated,
        Err(error) => {
            tracing::debug!(error = %error::chain(&error), "targets with a rate are looked at later");
            return None;
        }
    };
    let mut next = None;
    for (target, bucket) in rated {
        let opens_at = if bucket.available(now) > 0 {
            engine.wake(&target);
            now + bucket.step()
        } else {
            bucket.opens_at()
        };
        next = next.into_iter().chain([opens_at]).min();
    }
    next
}
