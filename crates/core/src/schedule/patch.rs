//! A change of a schedule.

use super::policy::{Misfire, Overlap};
use super::spec::{ScheduleDraft, ScheduleSpec};
use crate::JsonText;
use crate::task::{SpecLimits, Violations};
use crate::time::Timestamp;

/// What a caller wants to be otherwise. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct SchedulePatch {
    pub name: Option<String>,
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    /// Replaced as a whole.
    pub task: Option<JsonText>,
    pub overlap: Option<Overlap>,
    pub misfire: Option<Misfire>,
    pub start_at: Option<Option<Timestamp>>,
    pub end_at: Option<Option<Timestamp>>,
    pub jitter_seconds: Option<f64>,
    pub paused: Option<bool>,
}

impl SchedulePatch {
    /// The schedule as it is then.
    ///
    /// # Errors
    /// All [`Violations`] of the whole: an end may be wrong because the start was changed.
    pub fn apply(self, spec: &ScheduleSpec, limits: &SpecLimits, now: Timestamp) -> Result<ScheduleSpec, Violations> {
        if let Some(paused) = self.only_paused() {
            // That must work whatever the rules are by now.
            return Ok(ScheduleSpec { paused, ..spec.clone() });
        }
        let has_other_times =
            self.cron.is_some() || self.time_zone.is_some() || self.start_at.is_some() || self.end_at.is_some();
        let ScheduleSpec {
            name,
            cron,
            task,
            overlap,
            misfire,
            start_at,
            end_at,
            jitter,
            paused,
        } = spec.clone();
        let draft = ScheduleDraft {
            name: self.name.unwrap_or(name),
            cron: self.cron.unwrap_or_else(|| cron.text().to_owned()),
            time_zone: self.time_zone.unwrap_or_else(|| cron.zone().to_owned()),
            task: self.task.unwrap_or(task),
            overlap: self.overlap.unwrap_or(overlap),
            misfire: self.misfire.unwrap_or(misfire),
            start_at: self.start_at.unwrap_or(start_at),
            end_at: self.end_at.unwrap_or(end_at),
            jitter_seconds: self.jitter_seconds.unwrap_or(jitter.as_secs_f64()),
            paused: self.paused.unwrap_or(paused),
        };
        // One that has ended may still be called otherwise.
        draft.checked(limits, now, has_other_times)
    }

    /// Whether it pauses or resumes, and does nothing else.
    fn only_paused(&self) -> Option<bool> {
        let Self {
            name: None,
            cron: None,
            time_zone: None,
            task: None,
            overlap: None,
            misfire: None,
            start_at: None,
            end_at: None,
            jitter_seconds: None,
            paused,
        } = self
        else {
            return None;
        };
        *paused
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::Cron;

    #[test]
    fn one_that_has_ended_takes_changes_that_leave_its_times_alone() {
        let now = Timestamp::EPOCH + Duration::from_secs(1_000_000);
        let ended = ScheduleSpec {
            name: "each minute".to_owned(),
            cron: Cron::parse("* * * * *", "UTC").expect("an expression"),
            task: JsonText::trusted(r#"{"name": "echo"}"#),
            overlap: Overlap::Skip,
            misfire: Misfire::FireOnce,
            start_at: None,
            end_at: Some(now - Duration::from_secs(1)),
            jitter: Duration::ZERO,
            paused: false,
        };
        let apply = |patch: SchedulePatch| patch.apply(&ended, &SpecLimits::default(), now);
        let called = apply(SchedulePatch {
            name: Some("it was each minute".to_owned()),
            ..SchedulePatch::default()
        });
        assert_eq!(called.map(|spec| spec.name), Ok("it was each minute".to_owned()));
        let broken = apply(SchedulePatch {
            cron: Some("* * * * * *".to_owned()),
            ..SchedulePatch::default()
        });
        let broken = broken.expect_err("no slot would come of it");
        assert_eq!(broken.0[0].pointer, "/end_at");
        let longer = apply(SchedulePatch {
            end_at: Some(None),
            ..SchedulePatch::default()
        });
        assert!(longer.is_ok(), "{longer:?}");
    }
}
