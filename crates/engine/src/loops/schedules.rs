//! Schedules whose time has come: their slots become tasks.
//!
//! One pass is one transaction over many schedules. What must follow it may be lost with the process: the feeder announces the
//! tasks, and a schedule whose slots wait for a task is looked at again.

use std::time::Duration;

use orchestratum_core::Timestamp;
use orchestratum_core::schedule::MISFIRE_GRACE;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{Change, Fired};

use super::{LOOK_EVERY, PASS, Pass};
use crate::announce::hint;
use crate::{Engine, Error, error, identity, journal};

/// Told to a task whose place a later slot takes.
const REPLACED: &str = "a later slot of its schedule takes its place";

/// For how long a schedule rests that could not be looked at. What it waits for may be there then, such as a newer version of this
/// program; until then it costs the others next to nothing. Well below [`MISFIRE_GRACE`]: a slot is tried several times before it
/// counts as missed.
const PUT_OFF: Duration = Duration::from_secs(20);

/// The same where the database says that it may work the next time. Not at once: it may also be this schedule that takes too long.
const PUT_OFF_SHORTLY: Duration = Duration::from_secs(5);

const _: () = assert!(
    PUT_OFF.as_secs() * 2 < MISFIRE_GRACE.as_secs(),
    "no slot is missed for one failure"
);

/// Told by such a schedule. The reason is for operators: it may tell of the database.
const FAILED: &str = "its task could not be written, and is tried again soon; the log of the server says why";

/// The most of them in one pass: each may take as long as a statement may.
const FAILURES_MAX: usize = 10;

pub(super) async fn tick(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    match engine.parts.store.fire_schedules(PASS, identity::seed(), now).await {
        Ok(fired) => follow_up(engine, fired, now).await,
        Err(error) => {
            let error = error::chain(&error);
            tracing::warn!(error, "a pass over schedules failed: each is looked at by itself");
            one_by_one(engine, now).await
        }
    }
}

/// One that nobody can look at must not keep the others from it.
async fn one_by_one(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    let store = &engine.parts.store;
    let (mut looked, mut failures) = (0, 0);
    for schedule in store.due_schedules(PASS, now).await? {
        match store.fire_schedule(schedule, identity::seed(), now).await {
            Ok(fired) => looked += follow_up(engine, fired, now).await?.done,
            Err(error) => {
                let rest = if error.is_transient() { PUT_OFF_SHORTLY } else { PUT_OFF };
                let error = error::chain(&error);
                tracing::error!(schedule.id = %schedule, error, "a schedule is put off: its task could not be written");
                store.put_off_schedule(schedule, now + rest, FAILED, now).await?;
                failures += 1;
            }
        }
        if failures >= FAILURES_MAX {
            break;
        }
    }
    Ok(Pass {
        done: looked,
        more: looked + failures > 0,
    })
}

async fn follow_up(engine: &Engine, fired: Fired, now: Timestamp) -> Result<Pass, Error> {
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
        waiting,
    } = fired;
    engine.moved(|| tasks.iter().map(|task| task.task));
    let due_ats = tasks.iter().map(|task| task.due_at).filter(|due_at| *due_at > now);
    if let Some(soon) = due_ats.map(|due_at| due_at.saturating_since(now)).min()
        && soon < LOOK_EVERY
    {
        engine.release_soon(soon);
    }
    engine.became_ready(ready.into_iter().map(hint).collect());
    for (schedule, tasks) in waiting {
        engine.look_when_over(schedule, tasks);
    }
    if !cancel.is_empty() {
        let changes = cancel.into_iter().map(|task| {
            let reason = Some(REPLACED.to_owned());
            Change::new(task, TaskEvent::CancelRequested { reason })
        });
        engine.sweep(changes.collect()).await?;
    }
    Ok(Pass { done: looked, more })
}
