//! The audit of what was changed by hand, beside the rows that the statements of tasks write themselves.

use orchestratum_core::Timestamp;
use sqlx::PgConnection;

use super::rows::time;
use crate::Audit;

/// One row, which says in words what it is about: it is of no task.
pub(super) async fn record(connection: &mut PgConnection, audit: &Audit, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO task_changes (action, actor, detail, changed_at) VALUES ($1, $2, $3, $4)")
        .bind(audit.action)
        .bind(&audit.actor)
        .bind(&audit.detail)
        .bind(time(now))
        .execute(connection)
        .await?;
    Ok(())
}
