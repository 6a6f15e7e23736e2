//! The leases of external workers run out: what they held is lost and runs again, or has timed out, and what is left of claims
//! that are over goes.

use orchestratum_core::Timestamp;
use orchestratum_core::task::{Ending, Report, TaskEvent};
use orchestratum_store::{Change, EndedLease};

use super::{PASS, Pass};
use crate::{Engine, Error, identity};

/// Rows of claims that are over; a claim in another process may bring two thousand of them a second.
const PURGE_PASS: usize = 5_000;

pub(super) async fn tick(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    let ended = engine.parts.store.ended_leases(now, PASS).await?;
    // Each kind of change tells its own reason.
    let (timed_out, lost): (Vec<_>, Vec<_>) = ended.into_iter().partition(|ended| ended.timed_out);
    let timed_out = engine.sweep(timed_out.iter().map(time_out).collect()).await?;
    let lost = engine.sweep(lost.iter().map(lose).collect()).await?;
    metrics::counter!("orchestratum_tasks_rescued_total").increment(lost.done as u64);
    let purged = engine.parts.store.purge_claims(now, PURGE_PASS).await?;
    let purged = usize::try_from(purged).unwrap_or(usize::MAX);
    Ok(Pass {
        done: timed_out.done + lost.done,
        more: timed_out.more || lost.more || purged >= PURGE_PASS,
    })
}

fn lose(ended: &EndedLease) -> Change {
    let event = TaskEvent::WorkerLost {
        worker: ended.worker,
        attempt: ended.attempt,
    };
    Change::new(ended.task, event)
}

/// Nobody but us holds such an attempt to its timeout.
fn time_out(ended: &EndedLease) -> Change {
    let report = Report {
        attempt: ended.attempt,
        ending: Ending::TimedOut {
            message: "the timeout of the attempt passed, and its worker did not report".to_owned(),
        },
        chance: identity::chance(),
    };
    Change::new(ended.task, TaskEvent::Reported(report))
}
