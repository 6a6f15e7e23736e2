//! Heartbeats of attempts that external workers run.

use std::time::Duration;

use orchestratum_core::task::Progress;
use orchestratum_core::{JsonText, Timestamp};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, milliseconds, number, timestamp};
use crate::{Beaten, EXTERNAL_SILENCE, Error, Heartbeat};

pub(super) async fn heartbeat(
    store: &SqliteStore,
    heartbeat: &Heartbeat,
    now: Timestamp,
) -> Result<Option<Beaten>, Error> {
    let task = heartbeat.task;
    let mut transaction = store.begin().await?;
    let renewed: Option<(Uuid, i64)> = sqlx::query_as(
        "UPDATE external_claims
         SET lease_expires_at = min(
                 max(lease_expires_at, ?3 + lease_ms * 1000),
                 coalesce(ends_at, 9223372036854775807)
             )
         WHERE task_id = ?1
           AND attempt = ?2
           AND EXISTS (
               SELECT 1
               FROM tasks t
               WHERE t.id = ?1 AND +t.status = 1 AND t.attempt = ?2 AND t.worker_id = external_claims.worker_id
           )
         RETURNING worker_id, lease_expires_at",
    )
    .bind(task.0)
    .bind(heartbeat.attempt)
    .bind(now.as_micros())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(sql)?;
    let Some((worker, lease_expires_at)) = renewed else {
        return Ok(None);
    };
    let row = sqlx::query(
        "UPDATE tasks
         SET progress = coalesce(?2, progress)
         WHERE id = ?1
         RETURNING run, expires_at, cancel_requested, started_at, timeout_ms",
    )
    .bind(task.0)
    .bind(heartbeat.progress.map(Progress::share))
    .fetch_one(&mut *transaction)
    .await
    .map_err(sql)?;
    if let Some(checkpoint) = &heartbeat.checkpoint {
        sqlx::query("INSERT OR REPLACE INTO checkpoints (task_id, run, content) VALUES (?1, ?2, ?3)")
            .bind(task.0)
            .bind(get::<i64>(&row, "run")?)
            .bind(JsonText::as_str(checkpoint))
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
    }
    keep_present(&mut transaction, worker, lease_expires_at, now).await?;
    transaction.commit().await.map_err(sql)?;
    let timeout: Option<i64> = get(&row, "timeout_ms")?;
    Ok(Some(Beaten {
        cancel_requested: get(&row, "cancel_requested")?,
        expires_at: timestamp(&row, "expires_at")?,
        started_at: timestamp(&row, "started_at")?,
        timeout: timeout
            .map(|_| number(&row, "tasks", "timeout_ms", task))
            .transpose()?
            .map(Duration::from_millis),
        lease_expires_at: Timestamp::from_micros(lease_expires_at),
    }))
}

/// Extends the life of the worker beyond the lease.
async fn keep_present(
    connection: &mut SqliteConnection,
    worker: Uuid,
    lease_expires_at: i64,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE workers
         SET renewed_at = max(renewed_at, ?2),
             lease_expires_at = ?3 + ?4 * 1000
         WHERE id = ?1
           AND state = 0
           -- Not with every heartbeat: many tasks of a worker share its row.
           AND lease_expires_at < ?3 + ?4 * 500",
    )
    .bind(worker)
    .bind(now.as_micros())
    .bind(lease_expires_at)
    .bind(milliseconds(EXTERNAL_SILENCE))
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}
