//! A task of a schedule at once, because a caller asks for it.

use orchestratum_core::schedule::{MakeTask, ScheduleSpec};
use orchestratum_core::{Origin, ScheduleId};
use orchestratum_store::{Announce, IdempotencyKey, NewTask};

use crate::tasks::CreatedTasks;
use crate::{Engine, Error, journal};

impl Engine {
    /// It runs whatever the overlap policy says and also while the schedule is paused; the slots that come meanwhile see that
    /// it is not over.
    ///
    /// # Errors
    /// [`Error::ScheduleNotFound`], [`Error::ScheduleUnmade`], [`Error::IdempotencyKeyReused`], [`Error::Gone`].
    pub async fn trigger_schedule(
        &self,
        schedule: ScheduleId,
        idempotency: Option<IdempotencyKey>,
        origin: Origin,
    ) -> Result<CreatedTasks, Error> {
        let found = self.schedule(schedule).await?;
        let task = self.triggered(schedule, &found.spec, origin)?;
        let created = self.store_new(vec![task], idempotency).await?;
        journal::schedule(schedule, "triggered");
        Ok(created)
    }

    fn triggered(&self, schedule: ScheduleId, spec: &ScheduleSpec, origin: Origin) -> Result<NewTask, Error> {
        let limits = self.parts.settings.tasks.limits();
        let make = MakeTask {
            schedule,
            spec,
            slot: None,
            id: self.parts.clock.new_task_id(),
            limits: &limits,
            now: self.parts.clock.now(),
        };
        let unmade = |reason| Error::ScheduleUnmade { schedule, reason };
        let (spec, life) = *make.make().made.map_err(unmade)?;
        Ok(NewTask {
            spec,
            life,
            announce: Announce::ByFeeder,
            request_hash: None,
            origin,
        })
    }
}
