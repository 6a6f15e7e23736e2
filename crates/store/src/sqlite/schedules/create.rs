//! Storing a schedule.

use orchestratum_core::schedule::ScheduleSpec;
use orchestratum_core::{ScheduleId, Timestamp};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, json, milliseconds, parsed};
use super::super::tasks::insert_audit;
use crate::decide::waiting_text;
use crate::{Audit, CreateScheduleOutcome, Error, IdempotencyKey, NewSchedule};

pub(super) async fn create(
    store: &SqliteStore,
    schedule: &NewSchedule,
    audit: &Audit,
    now: Timestamp,
) -> Result<CreateScheduleOutcome, Error> {
    let mut transaction = store.begin().await?;
    if let Some(key) = &schedule.idempotency
        && let Some(outcome) = claim_key(&mut transaction, key, schedule.id, now).await?
    {
        return Ok(outcome);
    }
    insert(&mut transaction, schedule, now).await?;
    insert_audit(&mut transaction, None, audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(CreateScheduleOutcome::Created)
}

/// `None` if the key is new: it stands for this schedule from now on.
async fn claim_key(
    connection: &mut SqliteConnection,
    key: &IdempotencyKey,
    id: ScheduleId,
    now: Timestamp,
) -> Result<Option<CreateScheduleOutcome>, Error> {
    let kept = sqlx::query("SELECT body_hash, resource_ids FROM idempotency_keys WHERE scope = ?1 AND key = ?2")
        .bind(&key.scope)
        .bind(&key.key)
        .fetch_optional(&mut *connection)
        .await
        .map_err(sql)?;
    if let Some(kept) = kept {
        if get::<&[u8]>(&kept, "body_hash")? != key.body_hash {
            return Ok(Some(CreateScheduleOutcome::KeyReused));
        }
        let ids: Vec<Uuid> = parsed(
            get(&kept, "resource_ids")?,
            "idempotency_keys",
            "resource_ids",
            &key.key,
        )?;
        let id = ids.first();
        let id = id.ok_or_else(|| damaged("idempotency_keys", "resource_ids", &key.key, "it is empty"))?;
        return Ok(Some(CreateScheduleOutcome::Replayed { id: ScheduleId(*id) }));
    }
    sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(&key.scope)
    .bind(&key.key)
    .bind(&key.body_hash[..])
    .bind(json(&[id]))
    .bind(now.as_micros())
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(None)
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
