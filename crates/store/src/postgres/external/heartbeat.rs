//! Heartbeats of attempts that external workers run.

use orchestratum_core::task::Progress;
use orchestratum_core::{JsonText, Timestamp};

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, Time, milliseconds, time, timestamp};
use crate::{Beaten, EXTERNAL_SILENCE, Error, Heartbeat};

/// Task, then claim, then the others: the order in which a claim writes them.
const HEARTBEAT: &str = "
    WITH running AS MATERIALIZED (
        SELECT id, run, worker_id, expires_at, cancel_requested, started_at, timeout_ms
        FROM tasks
        WHERE id = $1 AND status = 1 AND attempt = $2
        -- It does not end while this is written.
        FOR UPDATE
    ),
    renewed AS (
        UPDATE external_claims AS held
        SET lease_expires_at = LEAST(
            GREATEST(lease_expires_at, $3 + lease_ms * INTERVAL '1 millisecond'),
            -- NULL is passed over.
            ends_at
        )
        FROM running
        WHERE held.task_id = running.id AND held.attempt = $2 AND held.worker_id = running.worker_id
        RETURNING running.*, held.lease_expires_at, held.lease_ms
    ),
    told AS (
        UPDATE tasks SET progress = $4 FROM renewed WHERE tasks.id = renewed.id AND $4 IS NOT NULL
    ),
    kept AS (
        INSERT INTO checkpoints (task_id, run, content)
        SELECT id, run, $5 FROM renewed WHERE $5 IS NOT NULL
        ON CONFLICT (task_id) DO UPDATE SET run = excluded.run, content = excluded.content
    ),
    present AS (
        -- Not with every heartbeat: many tasks of a worker share its row.
        UPDATE workers
        SET renewed_at = GREATEST(renewed_at, $3),
            lease_expires_at = renewed.lease_expires_at + $6 * INTERVAL '1 millisecond'
        FROM renewed
        WHERE workers.id = renewed.worker_id
          AND workers.state = 0
          AND workers.lease_expires_at < renewed.lease_expires_at + $6 * INTERVAL '0.5 millisecond'
    )
    SELECT cancel_requested, expires_at, started_at, timeout_ms, lease_expires_at FROM renewed";

type BeatenRow = (bool, Time, Time, Option<i64>, Time);

pub(super) async fn heartbeat(
    database: &Database,
    heartbeat: &Heartbeat,
    now: Timestamp,
) -> Result<Option<Beaten>, Error> {
    let rows: Vec<BeatenRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(HEARTBEAT)
                .bind(heartbeat.task.0)
                .bind(i32::try_from(heartbeat.attempt).unwrap_or(i32::MAX))
                .bind(time(now))
                .bind(heartbeat.progress.map(Progress::share))
                .bind(heartbeat.checkpoint.as_ref().map(JsonText::as_str))
                .bind(milliseconds(EXTERNAL_SILENCE))
        })
        .await?;
    let Some((cancel_requested, expires_at, started_at, timeout_ms, lease_expires_at)) = rows.into_iter().next() else {
        return Ok(None);
    };
    let place = Place {
        table: "tasks",
        row: &heartbeat.task,
    };
    Ok(Some(Beaten {
        cancel_requested,
        expires_at: timestamp(expires_at),
        started_at: timestamp(started_at),
        timeout: timeout_ms
            .map(|timeout| place.milliseconds("timeout_ms", timeout))
            .transpose()?,
        lease_expires_at: timestamp(lease_expires_at),
    }))
}
