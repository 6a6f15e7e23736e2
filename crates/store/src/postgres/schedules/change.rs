//! Changing and deleting a schedule.

use orchestratum_core::schedule::SchedulePatch;
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{ScheduleId, Timestamp};
use sqlx::PgConnection;

use super::super::audit;
use super::super::database::Database;
use super::super::rows::{int4, time};
use super::super::transaction::{Abort, Transaction};
use super::read::SCHEDULE;
use super::row::{ScheduleRow, written};
use crate::decide::{ScheduleChange, change_schedule};
use crate::{Audit, ChangeScheduleOutcome, Error, Schedule};

pub(super) async fn change(
    database: &Database,
    schedule: ScheduleId,
    patch: &SchedulePatch,
    expected_version: Option<u32>,
    audit: &Audit,
    now: Timestamp,
) -> Result<ChangeScheduleOutcome, Error> {
    let change = ChangeSchedule {
        schedule,
        patch: patch.clone(),
        expected_version,
        audit: audit.clone(),
        limits: database.limits,
        now,
    };
    database.transact(change).await
}

struct ChangeSchedule {
    schedule: ScheduleId,
    patch: SchedulePatch,
    expected_version: Option<u32>,
    audit: Audit,
    limits: SpecLimits,
    now: Timestamp,
}

impl Transaction for ChangeSchedule {
    type Output = ChangeScheduleOutcome;

    async fn perform(&self, connection: &mut PgConnection) -> Result<ChangeScheduleOutcome, Abort> {
        // Against the loop, which moves on what is decided about here.
        sqlx::query("SELECT FROM schedules WHERE id = $1 FOR UPDATE")
            .bind(self.schedule.0)
            .execute(&mut *connection)
            .await?;
        let row: Option<ScheduleRow> = sqlx::query_as(SCHEDULE)
            .bind(self.schedule.0)
            .fetch_optional(&mut *connection)
            .await?;
        let found = row.map(ScheduleRow::into_schedule).transpose()?;
        let patch = self.patch.clone();
        let changed = change_schedule(found, patch, self.expected_version, &self.limits, self.now);
        let schedule = match changed {
            ScheduleChange::Answer(outcome) => return Ok(outcome),
            ScheduleChange::Write(schedule) => schedule,
        };
        write(connection, &schedule).await?;
        audit::record(connection, &self.audit, self.now).await?;
        Ok(ChangeScheduleOutcome::Done(schedule))
    }
}

async fn write(connection: &mut PgConnection, schedule: &Schedule) -> Result<(), sqlx::Error> {
    let Schedule {
        id,
        spec,
        standing,
        updated_at,
        version,
        ..
    } = schedule;
    let skip = standing.last_skip.as_ref();
    written(UPDATE, *id, spec, standing, *updated_at)
        .bind(int4(*version))
        .bind(skip.map(|skip| time(skip.slot)))
        .bind(skip.map(|skip| skip.reason.code()))
        .bind(skip.and_then(|skip| skip.detail.clone()))
        .execute(connection)
        .await?;
    Ok(())
}

const UPDATE: &str = "
    UPDATE schedules
    SET name = $2,
        cron = $3,
        time_zone = $4,
        task = $5,
        overlap = $6,
        misfire = $7,
        start_at = $8,
        end_at = $9,
        jitter_ms = $10,
        paused = $11,
        updated_at = $12,
        next_slot = $13,
        waiting = $14,
        wake_at = $15,
        version = $16,
        last_skip_slot = $17,
        last_skip_reason = $18,
        last_skip_detail = $19
    WHERE id = $1";

pub(super) async fn delete(
    database: &Database,
    schedule: ScheduleId,
    audit: &Audit,
    now: Timestamp,
) -> Result<bool, Error> {
    let audit = audit.clone();
    database.transact(Delete { schedule, audit, now }).await
}

struct Delete {
    schedule: ScheduleId,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for Delete {
    type Output = bool;

    async fn perform(&self, connection: &mut PgConnection) -> Result<bool, Abort> {
        let deleted = sqlx::query("DELETE FROM schedules WHERE id = $1")
            .bind(self.schedule.0)
            .execute(&mut *connection)
            .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        audit::record(connection, &self.audit, self.now).await?;
        Ok(true)
    }
}
