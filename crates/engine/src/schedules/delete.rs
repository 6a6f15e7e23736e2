//! Deleting a schedule. Its tasks stay.

use orchestratum_core::ScheduleId;
use orchestratum_store::Audit;

use crate::{Engine, Error, journal};

impl Engine {
    /// # Errors
    /// [`Error::ScheduleNotFound`].
    pub async fn delete_schedule(&self, schedule: ScheduleId, actor: Option<String>) -> Result<(), Error> {
        let audit = Audit {
            actor,
            action: "delete_schedule",
            detail: Some(schedule.to_string()),
        };
        let now = self.parts.clock.now();
        if self.parts.store.delete_schedule(schedule, &audit, now).await? {
            journal::schedule(schedule, "deleted");
            Ok(())
        } else {
            Err(Error::ScheduleNotFound(schedule))
        }
    }
}
