//! The feeder keeps a short window of messages in the queue of each target that workers serve.
//!
//! Of the ready rows whose names they offer, the first are announced, and only as many as the queue has room for:
//! an emptied queue is refilled at once, a deep one is never flooded, and priority is exact to within the window. No
//! transaction is open while the broker is asked or told something.

use std::collections::HashMap;
use std::time::Duration;

use orchestratum_broker::Hint;
use orchestratum_core::{Target, Timestamp};
use orchestratum_store::Pulse;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::sleep_unless_stopped;
use crate::announce::{hint, publish};
use crate::{Engine, Error, error};

const INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two looks, however low the windows are.
const BREATH: Duration = Duration::from_millis(50);

/// How often all messages of an empty queue are sent again although their time has not come: they were lost, or went to
/// workers that could not use them.
const FORCE_EVERY: Duration = Duration::from_secs(5);

pub(super) async fn run(engine: Engine, latest_pulse: watch::Receiver<Pulse>, stop: CancellationToken) {
    if !engine.parts.broker.has_queues() {
        return;
    }
    engine.parts.announcer.measures();
    let mut seen = HashMap::new();
    loop {
        let pulse = latest_pulse.borrow().clone();
        tick(&engine, &pulse, &mut seen).await;
        if !sleep_unless_stopped(BREATH, &stop).await {
            return;
        }
        tokio::select! {
            () = engine.parts.announcer.low.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What the feeder remembers of a queue.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// How many looks in a row found it empty although tasks were ready.
    empty_looks: u32,
    forced_at: Option<Timestamp>,
}

async fn tick(engine: &Engine, pulse: &Pulse, seen: &mut HashMap<Target, Seen>) {
    let announcer = &engine.parts.announcer;
    seen.retain(|target, _| pulse.ready_targets.contains(target));
    let mut targets = pulse.ready_targets.clone();
    targets.extend(announcer.used_of(&pulse.served_targets));
    for target in targets {
        let is_ready = pulse.ready_targets.contains(&target);
        if let Err(error) = feed(engine, &target, is_ready, seen.entry(target.clone()).or_default()).await {
            tracing::debug!(%target, error = %error::chain(&error), "a queue could not be fed");
            // The broker is away for all targets alike; the next tick tries again.
            return;
        }
    }
}

async fn feed(engine: &Engine, target: &Target, is_ready: bool, seen: &mut Seen) -> Result<(), Error> {
    let parts = &engine.parts;
    let window = parts.settings.broker.window;
    let Some(depth) = parts.broker.depth(target).await? else {
        // Its worker has not declared the queue yet, and finds the tasks by itself once it has.
        parts.announcer.set_room(target, 0);
        return Ok(());
    };
    let missing = window.saturating_sub(usize::try_from(depth).unwrap_or(usize::MAX));
    parts.announcer.set_room(target, missing);
    if !is_ready || missing == 0 {
        *seen = Seen::default();
        return Ok(());
    }
    let now = parts.clock.now();
    // The messages of a paused target were used up by workers that may not claim; more of them would be, too.
    let force = seen.force(depth, now) && !parts.store.is_paused(target).await?;
    let fed = parts.store.feed(target, window, missing, force, now).await?;
    if fed.is_empty() {
        return Ok(());
    }
    parts.announcer.set_room(target, missing - fed.len().min(missing));
    let hints: Vec<Hint> = fed.into_iter().map(hint).collect();
    metrics::counter!("orchestratum_fed_total").increment(hints.len() as u64);
    publish(parts.broker.as_ref(), &hints).await;
    Ok(())
}

impl Seen {
    fn force(&mut self, depth: u64, now: Timestamp) -> bool {
        self.empty_looks = if depth == 0 { self.empty_looks + 1 } else { 0 };
        let rested = self.forced_at.is_none_or(|at| now.saturating_since(at) >= FORCE_EVERY);
        let force = self.empty_looks >= 2 && rested;
        if force {
            self.forced_at = Some(now);
        }
        force
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_empty_twice_is_refilled_whole_but_not_all_the_time() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let mut seen = Seen::default();
        assert!(!seen.force(0, at(1)));
        assert!(seen.force(0, at(2)));
        assert!(!seen.force(0, at(3)), "it was just refilled");
        assert!(seen.force(0, at(7)));
        assert!(!seen.force(5, at(20)), "it is not empty");
        assert!(!seen.force(0, at(21)), "empty once");
    }
}
