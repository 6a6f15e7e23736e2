//! What a schedule is, as callers describe and change it.

use std::time::Duration;

use super::cron::{Cron, InvalidCron, just_before};
use super::policy::{Misfire, Overlap};
use super::standing::{Skip, SkipReason, Standing};
use super::template;
use crate::JsonText;
use crate::task::{SpecLimits, Violations};
use crate::time::Timestamp;

/// The longest name of a schedule, in characters.
pub const SCHEDULE_NAME_MAX_LENGTH: usize = 200;

/// The most that a task may begin after its slot.
pub const JITTER_MAX: Duration = Duration::from_secs(86_400);

/// A schedule that meets every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSpec {
    /// For people to find it by.
    pub name: String,
    pub cron: Cron,
    /// What is created for each slot, as its caller wrote it.
    pub task: JsonText,
    pub overlap: Overlap,
    pub misfire: Misfire,
    /// No slot before it.
    pub start_at: Option<Timestamp>,
    /// No slot from then on.
    pub end_at: Option<Timestamp>,
    /// The most that a task begins after its slot.
    pub jitter: Duration,
    pub paused: bool,
}

/// A schedule as a caller describes it: nothing checked, nothing filled in.
#[derive(Debug, Clone)]
pub struct ScheduleDraft {
    pub name: String,
    pub cron: String,
    pub time_zone: String,
    pub task: JsonText,
    pub overlap: Overlap,
    pub misfire: Misfire,
    pub start_at: Option<Timestamp>,
    pub end_at: Option<Timestamp>,
    pub jitter_seconds: f64,
    pub paused: bool,
}

impl ScheduleDraft {
    /// Checks every rule.
    ///
    /// # Errors
    /// All [`Violations`], with pointers such as `/cron` and `/task/input/total`.
    pub fn check(self, limits: &SpecLimits, now: Timestamp) -> Result<ScheduleSpec, Violations> {
        self.checked(limits, now, true)
    }

    /// One that is there already may have no slot ahead any more.
    pub(super) fn checked(
        self,
        limits: &SpecLimits,
        now: Timestamp,
        has_slots_ahead: bool,
    ) -> Result<ScheduleSpec, Violations> {
        let mut violations = Violations::default();
        let length = self.name.chars().count();
        if !(1..=SCHEDULE_NAME_MAX_LENGTH).contains(&length) || self.name.contains('\0') {
            let rule = format!("must have 1 to {SCHEDULE_NAME_MAX_LENGTH} characters, none of which is U+0000");
            violations.add("/name", rule);
        }
        let cron = match Cron::parse(&self.cron, &self.time_zone) {
            Ok(cron) => Some(cron),
            Err(broken) => {
                if matches!(broken, InvalidCron::UnknownZone(_)) {
                    violations.add("/time_zone", broken.to_string());
                    violations.take("/cron", Cron::parse(&self.cron, "UTC"));
                } else {
                    violations.add("/cron", broken.to_string());
                }
                None
            }
        };
        let jitter = jitter(self.jitter_seconds, &mut violations);
        if let Err(broken) = template::check(&self.task, "/task", limits, now) {
            violations.extend_below("", broken);
        }
        self.check_times(cron.as_ref(), now, has_slots_ahead, &mut violations);
        violations.into_result()?;
        Ok(ScheduleSpec {
            name: self.name,
            cron: cron.unwrap_or_else(|| unreachable!("a missing expression is a violation")),
            task: self.task,
            overlap: self.overlap,
            misfire: self.misfire,
            start_at: self.start_at,
            end_at: self.end_at,
            jitter,
            paused: self.paused,
        })
    }

    fn check_times(&self, cron: Option<&Cron>, now: Timestamp, has_slots_ahead: bool, violations: &mut Violations) {
        if let (Some(start), Some(end)) = (self.start_at, self.end_at)
            && start >= end
        {
            violations.add("/end_at", "must be later than start_at");
            return;
        }
        if has_slots_ahead && self.end_at.is_some_and(|end| end <= now) {
            violations.add("/end_at", "must lie ahead: from then on there is no slot");
            return;
        }
        let Some(cron) = cron else { return };
        let from = self.start_at.map_or(now, |start| just_before(start).max(now));
        match (cron.next_after(from), self.end_at) {
            (None, _) => {
                let zone = cron.zone();
                violations.add(
                    "/cron",
                    format!("never comes: no time in {zone} meets all of its fields"),
                );
            }
            (Some(first), Some(end)) if has_slots_ahead && first >= end => {
                violations.add(
                    "/end_at",
                    format!("must be later than the first slot, which is {first}"),
                );
            }
            (Some(_), _) => {}
        }
    }
}

fn jitter(seconds: f64, violations: &mut Violations) -> Duration {
    let most = JITTER_MAX.as_secs();
    if (0.0..=JITTER_MAX.as_secs_f64()).contains(&seconds) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was just checked"
        )]
        Duration::from_millis((seconds * 1_000.0).round() as u64)
    } else {
        violations.add(
            "/jitter_seconds",
            format!("must lie between 0 and {most} seconds, not {seconds}"),
        );
        Duration::ZERO
    }
}

impl ScheduleSpec {
    /// The first slot later than this, within its bounds.
    pub fn first_slot_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = self.start_at.map_or(after, |start| just_before(start).max(after));
        self.cron
            .next_after(after)
            .filter(|slot| self.end_at.is_none_or(|end| *slot < end))
    }

    /// Where a new schedule stands. Its first slot is one that lies ahead.
    pub fn standing(&self, now: Timestamp) -> Standing {
        self.standing_after(Standing::default(), now)
    }

    /// Where a schedule stands whose times are others from now on, or that goes on after a pause: what came meanwhile was not
    /// missed, and what waited does no more.
    pub fn standing_after(&self, before: Standing, now: Timestamp) -> Standing {
        // The clock of whoever looked last may be ahead of ours.
        let after = before.last_slot.map_or(now, |last| last.max(now));
        let next_slot = if self.paused {
            None
        } else {
            self.first_slot_after(after)
        };
        let dropped = before.waiting.last();
        Standing {
            next_slot,
            waiting: Vec::new(),
            wake_at: next_slot,
            last_slot: before.last_slot,
            last_skip: dropped
                .map(|slot| Skip::new(*slot, SkipReason::Changed))
                .or(before.last_skip),
        }
    }

    /// Whether its slots may be others than those of `before`.
    pub fn has_other_times(&self, before: &Self) -> bool {
        (&self.cron, self.start_at, self.end_at, self.paused)
            != (&before.cron, before.start_at, before.end_at, before.paused)
    }
}
