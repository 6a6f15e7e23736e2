//! Starts that are bound to each other: all of them, or none.

use std::sync::{Arc, Weak};
use std::time::Duration;

use orchestratum_store::{NewSaga, StartOutcome, Store};
use tokio::time::Instant;

use super::lines::start_weight;
use crate::batcher::{Batcher, Bounds, Weight};
use crate::clock::Clock;
use crate::engine::Parts;
use crate::{Engine, Error};

/// Each has a transaction of its own, which may cost as much as two steps of sagas: few of them at a time.
const BOUND_STARTS: Bounds = Bounds {
    lanes: 2,
    worth_a_lane: 2,
    batch: Weight {
        rows: 1,
        ..Bounds::HOT_PATH.batch
    },
    waiting: 1_000,
    ..Bounds::HOT_PATH
};

/// How long they wait for their turn: whoever has asked for them would go away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sagas that begin together.
#[derive(Debug)]
pub(crate) struct Together {
    sagas: Vec<NewSaga>,
    since: Instant,
}

/// `None` of those that have waited for too long.
pub(crate) type BegunTogether = Option<Vec<StartOutcome>>;

impl Engine {
    /// Starts all of these, or none. What must follow the commit is done even if their caller goes away meanwhile.
    pub(super) async fn start_together(&self, sagas: Vec<NewSaga>) -> Result<Vec<StartOutcome>, Error> {
        let since = Instant::now();
        let begun = self.parts.bound_starts.submit(Together { sagas, since }).await?;
        begun.ok_or(Error::Overloaded)
    }
}

/// Performs them, one call after the other.
pub(crate) fn together_batcher(
    engine: Weak<Parts>,
    store: &Arc<dyn Store>,
    clock: &Clock,
) -> Batcher<Together, BegunTogether> {
    let (store, clock) = (Arc::clone(store), clock.clone());
    Batcher::start(BOUND_STARTS, weight, move |calls: Arc<Vec<Together>>| {
        let (store, clock, engine) = (Arc::clone(&store), clock.clone(), Weak::clone(&engine));
        async move {
            let mut begun = Vec::with_capacity(calls.len());
            for call in calls.iter() {
                if call.since.elapsed() > PATIENCE {
                    begun.push(None);
                    continue;
                }
                let mut outcomes = store.start_sagas_together(&call.sagas, clock.now()).await?;
                if let Some(parts) = engine.upgrade() {
                    Engine { parts }.after_starts(&mut outcomes);
                }
                begun.push(Some(outcomes));
            }
            Ok(begun)
        }
    })
}

fn weight(call: &Together) -> Weight {
    Weight {
        rows: 1,
        bytes: call.sagas.iter().map(|saga| start_weight(saga).bytes).sum(),
    }
}
