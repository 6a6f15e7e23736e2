//! Changing a schedule, pausing it among other things.

use orchestratum_core::ScheduleId;
use orchestratum_core::schedule::SchedulePatch;
use orchestratum_store::{Audit, ChangeScheduleOutcome, Schedule};

use crate::{Engine, Error, journal};

impl Engine {
    /// `expected_version` is that of `If-Match`.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::ScheduleNotFound`], [`Error::ScheduleVersionMismatch`].
    pub async fn change_schedule(
        &self,
        schedule: ScheduleId,
        patch: &SchedulePatch,
        expected_version: Option<u32>,
        actor: Option<String>,
    ) -> Result<Schedule, Error> {
        let now = self.parts.clock.now();
        let audit = Audit {
            actor,
            action: "patch_schedule",
            detail: Some(schedule.to_string()),
        };
        let store = &self.parts.store;
        match store
            .change_schedule(schedule, patch, expected_version, &audit, now)
            .await?
        {
            ChangeScheduleOutcome::Done(changed) => {
                journal::schedule(schedule, "patched");
                Ok(*changed)
            }
            ChangeScheduleOutcome::Invalid(violations) => Err(Error::Invalid(violations)),
            ChangeScheduleOutcome::VersionMismatch { current } => {
                Err(Error::ScheduleVersionMismatch { schedule, current })
            }
            ChangeScheduleOutcome::NotFound => Err(Error::ScheduleNotFound(schedule)),
        }
    }
}
