//! Workers of targets with a rate are woken when a start is there: nobody else would tell them.

use std::collections::BTreeMap;

use orchestratum_core::{Target, Timestamp};
use orchestratum_store::Pulse;

use crate::{Engine, error};

/// How far the starts of each target were used up at the last look.
pub(super) type Seen = BTreeMap<Target, Timestamp>;

/// When the next start is there that a ready task may wait for. Where starts are taken as they come, one follows the other; where
/// nobody takes one, the next look of the pulse is soon enough, and where nobody serves the target, nobody is woken.
pub(super) async fn tick(engine: &Engine, pulse: &Pulse, seen: &mut Seen, now: Timestamp) -> Option<Timestamp> {
    let before = std::mem::take(seen);
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
        if !pulse.served_targets.contains(&target) {
            continue;
        }
        let is_taken = before.get(&target) != Some(&bucket.spent_until);
        let opens_at = if bucket.available(now) == 0 {
            Some(bucket.opens_at())
        } else {
            engine.wake(&target);
            is_taken.then(|| now + bucket.step())
        };
        next = next.into_iter().chain(opens_at).min();
        seen.insert(target, bucket.spent_until);
    }
    next
}
