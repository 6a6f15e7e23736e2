//! Tasks that are made only once.

use std::collections::HashMap;

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, Timestamp};
use sqlx::SqliteConnection;

use super::super::error::sql;
use super::super::rows::{damaged, get, json, task_id, timestamp};
use crate::decide::{self, Holder};
use crate::{Error, NewTask};

/// Those of the new tasks that are not to be stored, each with the one it meets.
pub(in super::super) async fn meet(
    connection: &mut SqliteConnection,
    tasks: &[&NewTask],
    now: Timestamp,
) -> Result<HashMap<TaskId, TaskId>, Error> {
    let likenesses = decide::likenesses(tasks.iter().copied());
    if likenesses.is_empty() {
        return Ok(HashMap::new());
    }
    let hashes: Vec<&str> = likenesses.into_keys().collect();
    let rows = sqlx::query(
        "SELECT u.hash, t.id, t.status, t.created_at
         FROM json_each(?1) w
         CROSS JOIN unique_keys u ON u.hash = w.value
         CROSS JOIN tasks t ON t.id = u.task_id",
    )
    .bind(json(&hashes))
    .fetch_all(&mut *connection)
    .await
    .map_err(sql)?;
    let mut holders = HashMap::with_capacity(rows.len());
    for row in &rows {
        let task = task_id(row, "id")?;
        let code: i64 = get(row, "status")?;
        let status = i16::try_from(code).ok().and_then(TaskStatus::from_code);
        let holder = Holder {
            task,
            status: status.ok_or_else(|| damaged("tasks", "status", task, format!("{code} is no status")))?,
            created_at: timestamp(row, "created_at")?,
        };
        holders.insert(get::<String>(row, "hash")?, holder);
    }
    let met = decide::meet(tasks.iter().copied(), &mut holders, now);
    for (hash, holder) in &holders {
        sqlx::query("INSERT OR REPLACE INTO unique_keys (hash, task_id) VALUES (?1, ?2)")
            .bind(hash)
            .bind(holder.task.0)
            .execute(&mut *connection)
            .await
            .map_err(sql)?;
    }
    Ok(met)
}
