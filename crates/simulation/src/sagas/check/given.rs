//! What a worker goes on with is what a claim could have given it, and given to it alone.

use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskStatus;
use orchestratum_store::ClaimedTask;
use orchestratum_store::memory::{Rows, TaskRow};

use super::super::definitions::Lane;
use super::super::workers::Offer;
use super::{Checked, Invariant, holds};
use crate::coverage::{Coverage, SagaMarker};

/// Right after the commit of a look that began at this time.
pub(in super::super) fn as_by_a_claim(
    rows: &Rows,
    (offer, lane): (&Offer, &Lane),
    task: &ClaimedTask,
    began_at: Timestamp,
) -> Checked {
    let Some(row) = rows.tasks.get(&task.id) else {
        // Whether everything is there that was issued others look at.
        return Ok(());
    };
    let spec = &row.spec;
    let rule = |rule: bool, detail: &str| {
        holds(rule, Invariant::GoesOnAsByAClaim, || {
            format!("{offer:?} got {} ({}, {}): {detail}", spec.id, spec.target, spec.name)
        })
    };
    rule(lane.serves(spec), "its lane does not serve that")?;
    rule(
        spec.priority >= offer.priority,
        "that is less urgent than what it has ended",
    )?;
    rule(!rows.paused.contains(&spec.target), "its target is paused")?;
    rule(
        !rows.rated.contains(&spec.target),
        "its target has a rate, and no start was counted",
    )?;
    let lives = rows.leases.get(&offer.worker).is_some_and(|end| *end > began_at);
    rule(lives, "its lease is over")?;
    rule(
        spec.saga.is_some_and(|place| place.saga == offer.saga),
        "that is of another saga",
    )?;
    rule(
        task.attempt == 1 && row.attempts.is_empty(),
        "that is not its first attempt",
    )
}

/// What an offer came to that was given nothing.
pub(in super::super) fn mark_refused(
    rows: &Rows,
    (offer, lane): (&Offer, &Lane),
    began_at: Timestamp,
    coverage: &mut Coverage,
) {
    let is_open = |row: &&TaskRow| !rows.paused.contains(&row.spec.target) && !rows.rated.contains(&row.spec.target);
    let fits = |row: &&TaskRow| {
        let is_new = row.spec.created_at == began_at && row.life().status() == TaskStatus::Pending;
        is_new && lane.serves(&row.spec) && row.spec.priority >= offer.priority
    };
    let mut fitting = rows.tasks_of(offer.saga).filter(fits);
    let Some(first) = fitting.next() else { return };
    if !is_open(&first) {
        coverage.sometimes_of_a_saga(SagaMarker::OfferedWhereClosed);
    } else if rows.leases.get(&offer.worker).is_none_or(|end| *end <= began_at) {
        coverage.sometimes_of_a_saga(SagaMarker::OfferedByTheDead);
    }
}
