//! Schedules. One file a use case.

mod change;
mod create;
mod fire;
mod read;
mod row;

use async_trait::async_trait;
use orchestratum_core::schedule::SchedulePatch;
use orchestratum_core::{ScheduleId, Timestamp};

use super::PostgresStore;
use crate::{
    Audit, ChangeScheduleOutcome, CreateScheduleOutcome, Error, Fired, NewSchedule, Schedule, SchedulePage,
    ScheduleStore,
};

#[async_trait]
impl ScheduleStore for PostgresStore {
    async fn create_schedule(
        &self,
        schedule: &NewSchedule,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<CreateScheduleOutcome, Error> {
        create::create(&self.database, schedule, audit, now).await
    }

    async fn schedule(&self, schedule: ScheduleId) -> Result<Option<Schedule>, Error> {
        read::schedule(&self.database, schedule).await
    }

    async fn schedules(
        &self,
        name: Option<&str>,
        before: Option<ScheduleId>,
        limit: usize,
    ) -> Result<SchedulePage, Error> {
        read::schedules(&self.database, name, before, limit).await
    }

    async fn change_schedule(
        &self,
        schedule: ScheduleId,
        patch: &SchedulePatch,
        expected_version: Option<u32>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<ChangeScheduleOutcome, Error> {
        change::change(&self.database, schedule, patch, expected_version, audit, now).await
    }

    async fn delete_schedule(&self, schedule: ScheduleId, audit: &Audit, now: Timestamp) -> Result<bool, Error> {
        change::delete(&self.database, schedule, audit, now).await
    }

    async fn fire_schedules(&self, limit: usize, seed: u128, now: Timestamp) -> Result<Fired, Error> {
        fire::fire(&self.database, limit, seed, now).await
    }
}
