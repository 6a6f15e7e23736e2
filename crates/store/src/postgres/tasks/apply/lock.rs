//! Locking the rows of a batch, and reading what the transition function needs of them.

use std::collections::HashMap;

use orchestratum_core::TaskId;
use orchestratum_core::task::TaskStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::super::transaction::Abort;
use super::super::row::{LockedRow, source_columns, stored_columns};
use super::ids_in_order;
use crate::Change;
use crate::decide::{Stored, are_of_running_tasks, bringing_follow_ups};

pub(super) async fn lock(connection: &mut PgConnection, changes: &[Change]) -> Result<HashMap<TaskId, Stored>, Abort> {
    let ids = ids_in_order(changes);
    let running_only = are_of_running_tasks(changes);
    let bringing: Vec<Uuid> = bringing_follow_ups(changes).into_iter().map(|id| id.0).collect();
    let rows: Vec<LockedRow> = sqlx::query_as(if running_only { LOCK_TASKS } else { LOCK_BOTH })
        .bind(&ids)
        .bind(&bringing)
        .fetch_all(connection)
        .await?;
    let mut tasks = HashMap::with_capacity(rows.len());
    for mut row in rows {
        let stored = &mut row.stored;
        if stored.status == TaskStatus::Pending.code() && stored.due_at.is_none() {
            if !running_only {
                // It became pending while we waited for its lock; our statement cannot see the new dispatch row, and
                // locking it now would be against the order.
                return Err(Abort::Overtaken);
            }
            // Only to be refused.
            stored.due_at = Some(stored.scheduled_at);
        }
        let stored = row.into_stored()?;
        tasks.insert(stored.id, stored);
    }
    Ok(tasks)
}

const LOCK_TASKS: &str = concat!(
    "SELECT ",
    stored_columns!(),
    ", ",
    source_columns!(),
    ", NULL::timestamptz AS due_at, NULL::smallint AS dispatch_state FROM tasks WHERE id = ANY($1) ORDER BY id FOR UPDATE",
);

const LOCK_BOTH: &str = concat!(
    "WITH waiting AS MATERIALIZED (
        -- Before the tasks, as the claim does. Not SKIP LOCKED: whoever holds it decides first.
        SELECT task_id, due_at, state FROM dispatches WHERE task_id = ANY($1) ORDER BY task_id FOR UPDATE
    )
    SELECT ",
    stored_columns!(),
    ", ",
    source_columns!(),
    ", waiting.due_at, waiting.state AS dispatch_state
    FROM tasks
    LEFT JOIN waiting ON waiting.task_id = tasks.id
    WHERE id = ANY($1)
      -- Read to its end before the first task is locked.
      AND (SELECT count(*) FROM waiting) >= 0
    ORDER BY id
    FOR UPDATE OF tasks",
);
