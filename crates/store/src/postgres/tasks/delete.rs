//! Deleting a task that is over.

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;

use super::super::database::Database;
use super::super::rows::{Place, time};
use super::super::transaction::{Abort, Transaction};
use crate::{Audit, DeleteOutcome, Error};

pub(super) async fn delete(
    database: &Database,
    task: TaskId,
    audit: &Audit,
    now: Timestamp,
) -> Result<DeleteOutcome, Error> {
    let audit = audit.clone();
    database.transact(Delete { task, audit, now }).await
}

struct Delete {
    task: TaskId,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for Delete {
    type Output = DeleteOutcome;

    async fn perform(&self, connection: &mut PgConnection) -> Result<DeleteOutcome, Abort> {
        let status: Option<(i16,)> =
            // Against a retry, which would bring it back to life.
            sqlx::query_as("SELECT status FROM tasks WHERE id = $1 FOR UPDATE")
                .bind(self.task.0)
                .fetch_optional(&mut *connection)
                .await?;
        let Some((status,)) = status else {
            return Ok(DeleteOutcome::NotFound);
        };
        let place = Place {
            table: "tasks",
            row: &self.task,
        };
        let status = place.present("status", TaskStatus::from_code(status))?;
        if !status.is_terminal() {
            return Ok(DeleteOutcome::NotTerminal { status });
        }
        sqlx::query(
            "WITH task AS (
                DELETE FROM tasks WHERE id = $1 RETURNING parent_id, parent_run, edge, ordinal, name
            ),
            attempt AS (DELETE FROM attempts WHERE task_id = $1),
            log AS (DELETE FROM task_logs WHERE task_id = $1),
            missing AS (DELETE FROM missing_follow_ups WHERE parent_id = $1),
            likeness AS (DELETE FROM unique_keys WHERE task_id = $1),
            checkpoint AS (DELETE FROM checkpoints WHERE task_id = $1),
            claim AS (DELETE FROM external_claims WHERE task_id = $1),
            gap AS (
                -- Where it followed another one, that one still tells of it.
                INSERT INTO missing_follow_ups (
                    parent_id, parent_run, edge, ordinal, name, cause, reason, missing_since
                )
                SELECT parent_id, parent_run, edge, ordinal, name, 1, '', $5
                FROM task
                WHERE edge IS NOT NULL AND EXISTS (SELECT FROM tasks AS parent WHERE parent.id = task.parent_id)
            )
            INSERT INTO task_changes (task_id, action, actor, detail, changed_at)
            VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(self.task.0)
        .bind(self.audit.action)
        .bind(&self.audit.actor)
        .bind(&self.audit.detail)
        .bind(time(self.now))
        .execute(connection)
        .await?;
        Ok(DeleteOutcome::Deleted)
    }
}
