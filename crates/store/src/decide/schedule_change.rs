//! A caller's change of a schedule.

use orchestratum_core::Timestamp;
use orchestratum_core::schedule::SchedulePatch;
use orchestratum_core::task::SpecLimits;

use crate::{ChangeScheduleOutcome, Schedule};

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
