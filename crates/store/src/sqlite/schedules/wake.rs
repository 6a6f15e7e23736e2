//! When a schedule is looked at, beside its slots.

use orchestratum_core::schedule::SkipReason;
use orchestratum_core::{ScheduleId, Timestamp};
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{Hex, json, signed};
use crate::Error;

pub(super) async fn due(store: &SqliteStore, limit: usize, now: Timestamp) -> Result<Vec<ScheduleId>, Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id
         FROM schedules INDEXED BY schedules_wake
         WHERE wake_at IS NOT NULL AND wake_at <= ?1
         ORDER BY wake_at
         LIMIT ?2",
    )
    .bind(now.as_micros())
    .bind(signed(limit))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    Ok(ids.into_iter().map(ScheduleId).collect())
}

pub(super) async fn put_off(
    store: &SqliteStore,
    schedule: ScheduleId,
    until: Timestamp,
    detail: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let mut transaction = store.begin().await?;
    sqlx::query(
        "UPDATE schedules
         SET wake_at = ?2, last_skip_slot = min(coalesce(next_slot, ?3), ?3), last_skip_reason = ?4, last_skip_detail = ?5
         -- Unless somebody could look at it meanwhile, or changed it.
         WHERE id = ?1 AND wake_at <= ?3",
    )
    .bind(schedule.0)
    .bind(until.as_micros())
    .bind(now.as_micros())
    .bind(SkipReason::Failed.code())
    .bind(detail.to_owned())
    .execute(&mut *transaction)
    .await
    .map_err(sql)?;
    transaction.commit().await.map_err(sql)
}

pub(super) async fn wake(store: &SqliteStore, schedules: &[ScheduleId], now: Timestamp) -> Result<(), Error> {
    let ids: Vec<Hex> = schedules.iter().map(|schedule| Hex(schedule.0)).collect();
    let mut transaction = store.begin().await?;
    sqlx::query(
        "UPDATE schedules
         SET wake_at = ?2
         WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND waiting IS NOT NULL AND wake_at > ?2",
    )
    .bind(json(&ids))
    .bind(now.as_micros())
    .execute(&mut *transaction)
    .await
    .map_err(sql)?;
    transaction.commit().await.map_err(sql)
}
