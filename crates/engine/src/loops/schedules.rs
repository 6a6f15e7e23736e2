//! Schedules whose time has come: their slots become tasks.
//!
//! One pass is one transaction over many schedules. What must follow it may be lost with the process: the feeder announces the
//! tasks, and a schedule whose newest slot waits for a task to be cancelled is looked at again.

use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{Change, Fired};

use super::{LOOK_EVERY, PASS, Pass};
use crate::announce::hint;
use crate::{Engine, Error, identity, journal};

/// Told to a task whose place a later slot takes.
const REPLACED: &str = "a later slot of its schedule takes its place";

pub(super) async fn tick(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    let fired = engine.parts.store.fire_schedules(PASS, identity::seed(), now).await?;
    journal::fired(&fired);
    metrics::counter!("orchestratum_scheduled_tasks_total").increment(fired.tasks.len() as u64);
    metrics::counter!("orchestratum_scheduled_slots_skipped_total").increment(fired.skipped.len() as u64);
    let Fired {
        looked,
        more,
        tasks,
        ready,
        skipped: _,
        cancel,
    } = fired;
    let due_ats = tasks.iter().map(|task| task.due_at).filter(|due_at| *due_at > now);
    if let Some(soon) = due_ats.map(|due_at| due_at.saturating_since(now)).min()
        && soon < LOOK_EVERY
    {
        engine.release_soon(soon);
    }
    engine.became_ready(ready.into_iter().map(hint).collect());
    if !cancel.is_empty() {
        let changes = cancel.into_iter().map(|task| {
            let reason = Some(REPLACED.to_owned());
            Change::new(task, TaskEvent::CancelRequested { reason })
        });
        engine.sweep(changes.collect()).await?;
    }
    Ok(Pass { done: looked, more })
}
