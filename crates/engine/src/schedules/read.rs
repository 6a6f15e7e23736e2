//! Reading schedules.

use orchestratum_core::ScheduleId;
use orchestratum_store::{Schedule, SchedulePage};

use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::ScheduleNotFound`].
    pub async fn schedule(&self, schedule: ScheduleId) -> Result<Schedule, Error> {
        let found = self.parts.store.schedule(schedule).await?;
        found.ok_or(Error::ScheduleNotFound(schedule))
    }

    /// Newest first. `before` is the `next` of the page before.
    pub async fn schedules(
        &self,
        name: Option<&str>,
        before: Option<ScheduleId>,
        limit: usize,
    ) -> Result<SchedulePage, Error> {
        Ok(self.parts.store.schedules(name, before, limit).await?)
    }
}
