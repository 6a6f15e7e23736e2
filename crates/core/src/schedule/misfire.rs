//! The slots that are due, and which of them the misfire policy lets run.

use std::time::Duration;

use super::cron::just_before;
use super::policy::Misfire;
use super::spec::ScheduleSpec;
use super::standing::{Skip, SkipReason, Standing};
use crate::time::Timestamp;

/// How late a slot may be looked at and still be on time: a restart of all processes is no reason to skip a nightly job.
pub const MISFIRE_GRACE: Duration = Duration::from_secs(60);

/// The most slots of a schedule that run after they were missed. Those on time run beside them.
pub const CATCH_UP_MAX: usize = 100;

/// How many slots can be on time: one each second of the grace, and the one that is due right now.
const ON_TIME_MAX: usize = 61;

/// How many slots that are due at the same look are told apart: no policy runs those before them.
const TOLD_APART: usize = CATCH_UP_MAX + ON_TIME_MAX;

/// What came due since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    /// To be run, oldest first.
    pub(super) run: Vec<Timestamp>,
    pub(super) skipped: Vec<Skip>,
    /// The first that is not due yet.
    pub(super) next_slot: Option<Timestamp>,
}

pub(super) fn arrived(spec: &ScheduleSpec, standing: &Standing, now: Timestamp) -> Arrived {
    let Some(first) = standing.next_slot else {
        return Arrived::default();
    };
    if first > now {
        return Arrived {
            next_slot: Some(first),
            ..Arrived::default()
        };
    }
    let (due, older) = due(spec, first, now);
    let next_slot = spec.first_slot_after(due.last().copied().unwrap_or(now).max(now));
    let (mut late, on_time): (Vec<_>, Vec<_>) = due.into_iter().partition(|slot| *slot + MISFIRE_GRACE < now);
    let older = late
        .drain(..late.len().saturating_sub(CATCH_UP_MAX))
        .next_back()
        .or(older);
    let (kept, dropped) = match spec.misfire {
        Misfire::CatchUp => (late, Vec::new()),
        // What is on time stands for those before it.
        Misfire::FireOnce if on_time.is_empty() => {
            let newest = late.len().saturating_sub(1);
            (late[newest..].to_vec(), late[..newest].to_vec())
        }
        Misfire::FireOnce | Misfire::Skip => (Vec::new(), late),
    };
    let dropped = older.into_iter().chain(dropped);
    Arrived {
        skipped: dropped.map(|slot| Skip::new(slot, SkipReason::Missed)).collect(),
        run: kept.into_iter().chain(on_time).collect(),
        next_slot,
    }
}

/// The newest slots from `first` to `now`, oldest first, and one that stands for all before them.
fn due(spec: &ScheduleSpec, first: Timestamp, now: Timestamp) -> (Vec<Timestamp>, Option<Timestamp>) {
    let is_due = |slot: &Timestamp| *slot <= now && spec.end_at.is_none_or(|end| *slot < end);
    let forwards = std::iter::successors(Some(first), |slot| spec.cron.next_after(*slot));
    let mut slots: Vec<Timestamp> = forwards.take_while(is_due).take(TOLD_APART + 1).collect();
    if slots.len() <= TOLD_APART {
        return (slots, None);
    }
    // From the other side: there may be millions of them.
    let newest = spec.end_at.map_or(now, |end| just_before(end).min(now));
    let backwards = std::iter::successors(spec.cron.last_until(newest), |slot| {
        spec.cron.last_until(just_before(*slot))
    });
    slots = backwards
        .take_while(|slot| *slot >= first)
        .take(TOLD_APART + 1)
        .collect();
    let older = (slots.len() > TOLD_APART).then(|| slots.pop()).flatten();
    slots.reverse();
    (slots, older)
}
