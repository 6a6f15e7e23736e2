//! Deleting a task that is over.

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, Timestamp};
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, id_list};
use super::apply::insert_audit;
use crate::{Audit, DeleteOutcome, Error};

pub(super) async fn delete(
    store: &SqliteStore,
    task: TaskId,
    audit: &Audit,
    now: Timestamp,
) -> Result<DeleteOutcome, Error> {
    let mut transaction = store.begin().await?;
    let code: Option<i64> = sqlx::query_scalar("SELECT status FROM tasks WHERE id = ?1")
        .bind(task.0)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(sql)?;
    let Some(code) = code else {
        return Ok(DeleteOutcome::NotFound);
    };
    let status = i16::try_from(code)
        .ok()
        .and_then(TaskStatus::from_code)
        .ok_or_else(|| damaged("tasks", "status", task, format!("{code} is no status")))?;
    if !status.is_terminal() {
        return Ok(DeleteOutcome::NotTerminal { status });
    }
    // Where it followed another one, that one still tells of it.
    sqlx::query(
        "INSERT INTO missing_follow_ups (parent_id, parent_run, edge, ordinal, name, cause, reason, missing_since)
         SELECT t.parent_id, t.parent_run, t.edge, t.ordinal, t.name, 1, '', ?2
         FROM tasks t
         WHERE t.id = ?1
           AND t.edge IS NOT NULL
           AND EXISTS (SELECT 1 FROM tasks p WHERE p.id = t.parent_id)",
    )
    .bind(task.0)
    .bind(now.as_micros())
    .execute(&mut *transaction)
    .await
    .map_err(sql)?;
    delete_rows(&mut transaction, &[task]).await?;
    insert_audit(&mut transaction, Some(task), audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(DeleteOutcome::Deleted)
}

/// Deletes tasks with their attempts and logs; the audit stays for its own retention.
pub(in super::super) async fn delete_rows(connection: &mut SqliteConnection, ids: &[TaskId]) -> Result<(), Error> {
    let ids = id_list(ids.iter().copied());
    for statement in [
        "DELETE FROM task_logs WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM attempts WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM missing_follow_ups WHERE parent_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM unique_keys WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM checkpoints WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM external_claims WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM tasks WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
    ] {
        sqlx::query(statement)
            .bind(&ids)
            .execute(&mut *connection)
            .await
            .map_err(sql)?;
    }
    Ok(())
}
