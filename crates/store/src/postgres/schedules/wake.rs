//! When a schedule is looked at, beside its slots.

use orchestratum_core::schedule::SkipReason;
use orchestratum_core::{ScheduleId, Timestamp};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{int8, time};
use crate::Error;

pub(super) async fn due(database: &Database, limit: usize, now: Timestamp) -> Result<Vec<ScheduleId>, Error> {
    let rows: Vec<(Uuid,)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as("SELECT id FROM schedules WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2")
                .bind(time(now))
                .bind(int8(limit))
        })
        .await?;
    Ok(rows.into_iter().map(|(id,)| ScheduleId(id)).collect())
}

pub(super) async fn put_off(
    database: &Database,
    schedule: ScheduleId,
    until: Timestamp,
    detail: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let put_off = || {
        sqlx::query(
            "UPDATE schedules
            SET wake_at = $2, last_skip_slot = LEAST(next_slot, $3), last_skip_reason = $4, last_skip_detail = $5
            -- Unless somebody could look at it meanwhile, or changed it.
            WHERE id = $1 AND wake_at <= $3",
        )
        .bind(schedule.0)
        .bind(time(until))
        .bind(time(now))
        .bind(SkipReason::Failed.code())
        .bind(detail.to_owned())
    };
    database.execute(put_off).await?;
    Ok(())
}

pub(super) async fn wake(database: &Database, schedules: &[ScheduleId], now: Timestamp) -> Result<(), Error> {
    let ids: Vec<Uuid> = schedules.iter().map(|schedule| schedule.0).collect();
    let wake = || {
        sqlx::query(
            "WITH waiting AS MATERIALIZED (
                SELECT id
                FROM schedules
                WHERE id = ANY($1::uuid[]) AND waiting IS NOT NULL AND wake_at > $2
                ORDER BY id
                -- After whoever looks at one now: that may be too early to see that the task is over.
                FOR UPDATE
            )
            UPDATE schedules SET wake_at = $2 WHERE id = ANY(ARRAY(SELECT id FROM waiting))",
        )
        .bind(ids.clone())
        .bind(time(now))
    };
    database.execute(wake).await?;
    Ok(())
}
