//! Claims that wait learn of what other processes made ready.

use tokio_util::sync::CancellationToken;

use super::sleep_unless_stopped;
use crate::waiters::ASK_EVERY;
use crate::{Engine, error};

/// The most offers of one question.
const ASKED_AT_ONCE: usize = 1_000;

/// The most of one round. What is left is asked for in the next.
const ASKED_IN_A_ROUND: usize = 10_000;

/// How far ready tasks of one offer are counted: as many as one claim may take.
const COUNTED: usize = crate::external::CLAIM_MAX;

pub(super) async fn run(engine: Engine, stop: CancellationToken) {
    let pollers = &engine.parts.pollers;
    loop {
        if !pollers.any() {
            tokio::select! {
                () = pollers.came.notified() => {}
                () = stop.cancelled() => return,
            }
        }
        if !sleep_unless_stopped(ASK_EVERY, &stop).await {
            return;
        }
        for offers in pollers.offers(ASKED_IN_A_ROUND).chunks(ASKED_AT_ONCE) {
            let now = engine.parts.clock.now();
            match engine.parts.store.claimable(offers, COUNTED, now).await {
                Ok(claimable) => {
                    for (offer, tasks) in claimable {
                        pollers.ready(&offer, tasks);
                    }
                }
                Err(error) => tracing::debug!(error = %error::chain(&error), "waiting claims wait on"),
            }
        }
    }
}
