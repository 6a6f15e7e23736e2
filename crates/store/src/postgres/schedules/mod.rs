//! Schedules. One file a use case.

mod change;
mod create;
mod fire;
mod read;
mod row;
mod wake;

use async_trait::async_trait;
use orchestratum_core::schedule::SchedulePatch;
use orchestratum_core::{ScheduleId, Timestamp};

use super::PostgresStore;
use crate::decide::Which;
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
        fire::fire(&self.database, Which::Due(limit), seed, now).await
    }

    async fn due_schedules(&self, limit: usize, now: Timestamp) -> Result<Vec<ScheduleId>, Error> {
        wake::due(&self.database, limit, now).await
    }

    async fn fire_schedule(&self, schedule: ScheduleId, seed: u128, now: Timestamp) -> Result<Fired, Error> {
        fire::fire(&self.database, Which::One(schedule), seed, now).await
    }

    async fn put_off_schedule(
        &self,
        schedule: ScheduleId,
        until: Timestamp,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        wake::put_off(&self.database, schedule, until, detail, now).await
    }

    async fn wake_schedules(&self, schedules: &[ScheduleId], now: Timestamp) -> Result<(), Error> {
        wake::wake(&self.database, schedules, now).await
    }
}
