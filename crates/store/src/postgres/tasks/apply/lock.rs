//! Locking the rows of a batch, and reading what the transition function needs of them.

use std::collections::HashMap;

use orchestratum_core::task::{TaskEvent, TaskStatus};
use orchestratum_core::{Target, TaskId, TaskName, WorkerId};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::super::super::rows::{Place, Time, timestamp};
use super::super::super::transaction::Abort;
use super::super::row::policy;
use super::ids_in_order;
use crate::decide::{LifeColumns, Stored};
use crate::{Change, Error};

pub(super) async fn lock(connection: &mut PgConnection, changes: &[Change]) -> Result<HashMap<TaskId, Stored>, Abort> {
    let ids = ids_in_order(changes);
    // Reports and rescues are about running tasks, which have no dispatch row. Everything else may meet a pending one.
    let running_only = changes
        .iter()
        .all(|change| matches!(change.event, TaskEvent::Reported(_) | TaskEvent::WorkerLost { .. }));
    let rows: Vec<LockedRow> = sqlx::query_as(if running_only { LOCK_TASKS } else { LOCK_BOTH })
        .bind(&ids)
        .fetch_all(connection)
        .await?;
    let mut tasks = HashMap::with_capacity(rows.len());
    for mut row in rows {
        if row.status == TaskStatus::Pending.code() && row.due_at.is_none() {
            if !running_only {
                // It became pending while we waited for its lock; our statement cannot see the new dispatch row, and
                // locking it now would be against the order.
                return Err(Abort::Overtaken);
            }
            // Only to be refused.
            row.due_at = Some(row.scheduled_at);
        }
        let stored = row.into_stored()?;
        tasks.insert(stored.id, stored);
    }
    Ok(tasks)
}

macro_rules! locked_columns {
    () => {
        "tasks.id, tasks.name, tasks.target, tasks.priority, tasks.ttl_ms, tasks.max_retries, tasks.max_losses, tasks.backoff,
        tasks.status, tasks.run, tasks.attempt, tasks.version, tasks.retries_left, tasks.losses_left,
        tasks.cancel_requested, tasks.worker_id, tasks.started_at, tasks.finished_at, tasks.scheduled_at,
        tasks.expires_at, tasks.error"
    };
}

const LOCK_TASKS: &str = concat!(
    "SELECT ",
    locked_columns!(),
    ", NULL::timestamptz AS due_at FROM tasks WHERE id = ANY($1) ORDER BY id FOR UPDATE",
);

const LOCK_BOTH: &str = concat!(
    "WITH waiting AS MATERIALIZED (
        -- Before the tasks, as the claim does. Not SKIP LOCKED: whoever holds it decides first.
        SELECT task_id, due_at FROM dispatches WHERE task_id = ANY($1) ORDER BY task_id FOR UPDATE
    )
    SELECT ",
    locked_columns!(),
    ", waiting.due_at
    FROM tasks
    LEFT JOIN waiting ON waiting.task_id = tasks.id
    WHERE id = ANY($1)
      -- Read to its end before the first task is locked.
      AND (SELECT count(*) FROM waiting) >= 0
    ORDER BY id
    FOR UPDATE OF tasks",
);

#[derive(FromRow)]
struct LockedRow {
    id: Uuid,
    name: String,
    target: String,
    priority: i16,
    ttl_ms: i64,
    max_retries: i16,
    max_losses: i16,
    backoff: String,
    status: i16,
    run: i32,
    attempt: i32,
    version: i32,
    retries_left: i16,
    losses_left: i16,
    cancel_requested: bool,
    worker_id: Option<Uuid>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    scheduled_at: Time,
    expires_at: Time,
    error: Option<String>,
    due_at: Option<Time>,
}

impl LockedRow {
    fn into_stored(self) -> Result<Stored, Error> {
        let Self {
            id,
            name,
            target,
            priority,
            ttl_ms,
            max_retries,
            max_losses,
            backoff,
            status,
            run,
            attempt,
            version,
            retries_left,
            losses_left,
            cancel_requested,
            worker_id,
            started_at,
            finished_at,
            scheduled_at,
            expires_at,
            error,
            due_at,
        } = self;
        let place = Place {
            table: "tasks",
            row: &id,
        };
        let id = TaskId(id);
        let worker = worker_id.map(WorkerId);
        let started_at = started_at.map(timestamp);
        let life = LifeColumns {
            status: status.into(),
            run: run.into(),
            attempt: attempt.into(),
            version: version.into(),
            retries_left: retries_left.into(),
            losses_left: losses_left.into(),
            cancel_requested,
            scheduled_at: timestamp(scheduled_at),
            expires_at: timestamp(expires_at),
            worker,
            started_at,
            finished_at: finished_at.map(timestamp),
            due_at: due_at.map(timestamp),
            error,
        };
        Ok(Stored {
            id,
            name: place.take("name", TaskName::new(name))?,
            target: place.take("target", Target::new(target))?,
            priority: place.number("priority", priority)?,
            ttl: place.milliseconds("ttl_ms", ttl_ms)?,
            policy: policy(place, max_retries, max_losses, &backoff)?,
            life: life.decode(id)?,
            worker,
            started_at,
        })
    }
}
