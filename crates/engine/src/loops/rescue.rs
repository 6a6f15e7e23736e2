//! The tasks of dead workers run again elsewhere.
//!
//! A worker is first declared dead, in a commit of its own, and only then are its tasks looked for, on every pass: a
//! claim that was under way when the worker died is found by the next one.

use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::Change;

use super::{PASS, Pass};
use crate::{Engine, Error};

pub(super) async fn tick(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    for worker in engine.parts.store.mark_dead(now).await? {
        tracing::warn!(worker.id = %worker, "a worker stopped renewing its lease: it is taken for dead");
        metrics::counter!("orchestratum_workers_lost_total").increment(1);
    }
    let orphans = engine.parts.store.orphans(PASS).await?;
    let changes = orphans
        .into_iter()
        .map(|orphan| {
            let event = TaskEvent::WorkerLost {
                worker: orphan.worker,
                attempt: orphan.attempt,
            };
            Change::new(orphan.task, event)
        })
        .collect();
    let pass = engine.sweep(changes).await?;
    metrics::counter!("orchestratum_tasks_rescued_total").increment(pass.done as u64);
    Ok(pass)
}
