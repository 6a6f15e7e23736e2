//! Signals to the other processes, merged while one is on its way.

use std::sync::Arc;

use orchestratum_broker::{Broker, Signal};
use orchestratum_core::{SagaId, Target, TaskId};

use crate::batcher::{Batcher, Bounds, Weight};

/// A lost signal costs its reader one interval of asking the database, so there is no need to keep many.
const WAITING_SIGNALS: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Signals(Batcher<Signal, ()>);

impl Signals {
    pub(crate) fn start(broker: Arc<dyn Broker>) -> Self {
        let bounds = Bounds {
            lanes: 1,
            worth_a_lane: usize::MAX,
            batch: Weight {
                rows: 1_000,
                bytes: usize::MAX,
            },
            waiting: WAITING_SIGNALS,
            held_bytes: usize::MAX,
        };
        Self(Batcher::start(bounds, weight, move |signals: Arc<Vec<Signal>>| {
            let broker = Arc::clone(&broker);
            async move {
                for signal in merge(&signals) {
                    if let Err(error) = broker.signal(signal).await {
                        tracing::debug!(error = %crate::error::chain(&error), "a signal was lost");
                    }
                }
                Ok(vec![(); signals.len()])
            }
        }))
    }

    pub(crate) fn send(&self, signal: Signal) {
        self.0.leave(signal);
    }
}

fn weight(signal: &Signal) -> Weight {
    let rows = match signal {
        Signal::Finished { tasks } | Signal::Changed { tasks } | Signal::Moved { tasks } => tasks.len(),
        Signal::Ready { targets } => targets.len(),
        Signal::Sagas { sagas } => sagas.len(),
        Signal::Watched => 1,
    };
    Weight { rows, bytes: 0 }
}

fn merge(signals: &[Signal]) -> Vec<Signal> {
    let mut finished: Vec<TaskId> = Vec::new();
    let mut changed: Vec<TaskId> = Vec::new();
    let mut ready: Vec<Target> = Vec::new();
    let mut sagas: Vec<SagaId> = Vec::new();
    let mut moved: Vec<TaskId> = Vec::new();
    let mut is_watched = false;
    for signal in signals {
        match signal {
            Signal::Finished { tasks } => finished.extend(tasks),
            Signal::Changed { tasks } => changed.extend(tasks),
            Signal::Ready { targets } => ready.extend(targets.iter().cloned()),
            Signal::Sagas { sagas: these } => sagas.extend(these),
            Signal::Moved { tasks } => moved.extend(tasks),
            Signal::Watched => is_watched = true,
        }
    }
    let mut merged = Vec::new();
    if !finished.is_empty() {
        merged.push(Signal::Finished { tasks: finished });
    }
    if !changed.is_empty() {
        merged.push(Signal::Changed { tasks: changed });
    }
    if !ready.is_empty() {
        ready.sort_unstable();
        ready.dedup();
        merged.push(Signal::Ready { targets: ready });
    }
    if !sagas.is_empty() {
        sagas.sort_unstable();
        sagas.dedup();
        merged.push(Signal::Sagas { sagas });
    }
    if !moved.is_empty() {
        merged.push(Signal::Moved { tasks: moved });
    }
    if is_watched {
        merged.push(Signal::Watched);
    }
    merged
}
