//! Deadlines pass: pending tasks end at once, running ones after the time their worker has to end them itself.

use std::time::Duration;

use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::Change;

use super::{PASS, Pass};
use crate::{Engine, Error};

/// How long past its deadline a running task is left to its worker, which sends TERM at the deadline, KILL a second
/// later, and reports.
pub const RUNNING_GRACE: Duration = Duration::from_secs(3);

/// `left_to_workers`: running tasks are not looked at.
pub(super) async fn tick(engine: &Engine, left_to_workers: bool, now: Timestamp) -> Result<Pass, Error> {
    let mut expired = engine.parts.store.expired_pending(now, PASS).await?;
    if !left_to_workers {
        expired.extend(engine.parts.store.overdue_running(now - RUNNING_GRACE, PASS).await?);
    }
    let changes = expired
        .into_iter()
        .map(|task| Change::new(task, TaskEvent::DeadlinePassed))
        .collect();
    let pass = engine.sweep(changes).await?;
    metrics::counter!("orchestratum_tasks_expired_by_sweep_total").increment(pass.done as u64);
    Ok(pass)
}
