//! Storing a schedule.

use orchestratum_core::Timestamp;
use orchestratum_core::schedule::ScheduleSpec;
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::idempotency;
use super::super::rows::milliseconds;
use super::super::tasks::insert_audit;
use crate::decide::{self, waiting_text};
use crate::{Audit, CreateScheduleOutcome, Error, IdempotencyKey, NewSchedule};

pub(super) async fn create(
    store: &SqliteStore,
    schedule: &NewSchedule,
    audit: &Audit,
    now: Timestamp,
) -> Result<CreateScheduleOutcome, Error> {
    let mut transaction = store.begin().await?;
    let key: Vec<&IdempotencyKey> = schedule.idempotency.iter().collect();
    let kept = idempotency::kept(&mut transaction, &key).await?.into_values().next();
    if let Some(outcome) = decide::create_schedule(schedule, kept.as_ref()) {
        return Ok(outcome);
    }
    let key = key.into_iter().map(|key| (key, vec![schedule.id.0]));
    idempotency::keep(&mut transaction, key.collect(), now).await?;
    insert(&mut transaction, schedule, now).await?;
    insert_audit(&mut transaction, None, audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(CreateScheduleOutcome::Created)
}

async fn insert(connection: &mut SqliteConnection, schedule: &NewSchedule, now: Timestamp) -> Result<(), Error> {
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
    } = &schedule.spec;
    let standing = schedule.spec.standing(now);
    sqlx::query(
        "INSERT INTO schedules (
             id, name, cron, time_zone, task, overlap, misfire, start_at, end_at, jitter_ms, paused, created_at, updated_at,
             next_slot, waiting, wake_at
         )
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, ?14, ?15)",
    )
    .bind(schedule.id.0)
    .bind(name)
    .bind(cron.text())
    .bind(cron.zone())
    .bind(task.as_str())
    .bind(overlap.code())
    .bind(misfire.code())
    .bind(start_at.map(Timestamp::as_micros))
    .bind(end_at.map(Timestamp::as_micros))
    .bind(milliseconds(*jitter))
    .bind(paused)
    .bind(now.as_micros())
    .bind(standing.next_slot.map(Timestamp::as_micros))
    .bind(waiting_text(&standing))
    .bind(standing.wake_at.map(Timestamp::as_micros))
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}
