//! What callers do to schedules.

use orchestratum_core::schedule::SchedulePatch;
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{ScheduleId, Timestamp};

use super::{KeptKey, Repeat};
use crate::{ChangeScheduleOutcome, CreateScheduleOutcome, NewSchedule, Schedule};

/// The answer to a create of which nothing is to be stored; `None` if it is. `kept` is its idempotency key if that was used.
pub(crate) fn create_schedule(schedule: &NewSchedule, kept: Option<&KeptKey>) -> Option<CreateScheduleOutcome> {
    let (kept, key) = (kept?, schedule.idempotency.as_ref()?);
    Some(match kept.repeat(key, schedule.id.0) {
        Repeat::Reused => CreateScheduleOutcome::KeyReused,
        Repeat::Ours => CreateScheduleOutcome::Created,
        Repeat::Replayed(id) => CreateScheduleOutcome::Replayed { id: ScheduleId(id) },
    })
}

/// What a change comes to.
#[derive(Debug)]
pub(crate) enum ScheduleChange {
    /// Nothing is to be written.
    Answer(ChangeScheduleOutcome),
    /// This is, and then it is the answer.
    Write(Box<Schedule>),
}

/// `found` is the schedule under its lock.
pub(crate) fn change_schedule(
    found: Option<Schedule>,
    patch: SchedulePatch,
    expected_version: Option<u32>,
    limits: &SpecLimits,
    now: Timestamp,
) -> ScheduleChange {
    let Some(found) = found else {
        return ScheduleChange::Answer(ChangeScheduleOutcome::NotFound);
    };
    let current = found.version;
    if expected_version.is_some_and(|expected| expected != current) {
        return ScheduleChange::Answer(ChangeScheduleOutcome::VersionMismatch { current });
    }
    let spec = match patch.apply(&found.spec, limits, now) {
        Ok(spec) => spec,
        Err(broken) => return ScheduleChange::Answer(ChangeScheduleOutcome::Invalid(broken)),
    };
    if spec == found.spec {
        return ScheduleChange::Answer(ChangeScheduleOutcome::Done(Box::new(found)));
    }
    let standing = if spec.has_other_times(&found.spec) {
        spec.standing_after(found.standing, now)
    } else {
        found.standing
    };
    ScheduleChange::Write(Box::new(Schedule {
        spec,
        standing,
        updated_at: now,
        version: current + 1,
        ..found
    }))
}
