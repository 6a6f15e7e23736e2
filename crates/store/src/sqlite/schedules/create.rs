//! Storing a schedule.

use orchestratum_core::Timestamp;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::idempotency;
use super::super::tasks::insert_audit;
use super::row::written;
use crate::decide;
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
    written(INSERT, schedule.id, &schedule.spec, &schedule.spec.standing(now), now)
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
    insert_audit(&mut transaction, None, audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(CreateScheduleOutcome::Created)
}

const INSERT: &str = "
    INSERT INTO schedules (
        id, name, cron, time_zone, task, overlap, misfire, start_at, end_at, jitter_ms, paused, created_at, updated_at,
        next_slot, waiting, wake_at
    )
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, ?14, ?15)";
