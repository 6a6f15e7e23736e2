//! Changing and deleting a schedule.

use orchestratum_core::schedule::SchedulePatch;
use orchestratum_core::{ScheduleId, Timestamp};
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::tasks::insert_audit;
use super::read;
use super::row::written;
use crate::decide::{ScheduleChange, change_schedule};
use crate::{Audit, ChangeScheduleOutcome, Error, Schedule};

pub(super) async fn change(
    store: &SqliteStore,
    schedule: ScheduleId,
    patch: &SchedulePatch,
    expected_version: Option<u32>,
    audit: &Audit,
    now: Timestamp,
) -> Result<ChangeScheduleOutcome, Error> {
    let mut transaction = store.begin().await?;
    let found = read::schedule(&mut *transaction, schedule).await?;
    let schedule = match change_schedule(found, patch.clone(), expected_version, &store.limits, now) {
        ScheduleChange::Answer(outcome) => return Ok(outcome),
        ScheduleChange::Write(schedule) => schedule,
    };
    write(&mut transaction, &schedule).await?;
    insert_audit(&mut transaction, None, audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(ChangeScheduleOutcome::Done(schedule))
}

async fn write(connection: &mut SqliteConnection, schedule: &Schedule) -> Result<(), Error> {
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
        .bind(*version)
        .bind(skip.map(|skip| skip.slot.as_micros()))
        .bind(skip.map(|skip| skip.reason.code()))
        .bind(skip.and_then(|skip| skip.detail.clone()))
        .execute(connection)
        .await
        .map_err(sql)?;
    Ok(())
}

const UPDATE: &str = "
    UPDATE schedules
    SET name = ?2,
        cron = ?3,
        time_zone = ?4,
        task = ?5,
        overlap = ?6,
        misfire = ?7,
        start_at = ?8,
        end_at = ?9,
        jitter_ms = ?10,
        paused = ?11,
        updated_at = ?12,
        next_slot = ?13,
        waiting = ?14,
        wake_at = ?15,
        version = ?16,
        last_skip_slot = ?17,
        last_skip_reason = ?18,
        last_skip_detail = ?19
    WHERE id = ?1";

pub(super) async fn delete(
    store: &SqliteStore,
    schedule: ScheduleId,
    audit: &Audit,
    now: Timestamp,
) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    let deleted = sqlx::query("DELETE FROM schedules WHERE id = ?1")
        .bind(schedule.0)
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
    if deleted.rows_affected() == 0 {
        return Ok(false);
    }
    insert_audit(&mut transaction, None, audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(true)
}
