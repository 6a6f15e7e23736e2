//! What callers do to a group as a whole.

use orchestratum_core::task::GroupStatus;
use orchestratum_core::{GroupId, Timestamp};
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::tasks::insert_audit;
use super::row;
use crate::{Audit, CancelGroupOutcome, DeleteGroupOutcome, Error, decide};

pub(super) async fn cancel(
    store: &SqliteStore,
    group: GroupId,
    reason: Option<&str>,
    audit: &Audit,
    now: Timestamp,
) -> Result<CancelGroupOutcome, Error> {
    let mut transaction = store.begin().await?;
    let Some(status) = status(&mut transaction, group).await? else {
        return Ok(CancelGroupOutcome::NotFound);
    };
    if let Some(outcome) = decide::cancel_group(status) {
        return Ok(outcome);
    }
    sqlx::query("UPDATE task_groups SET status = ?2, reason = ?3 WHERE id = ?1")
        .bind(group.0)
        .bind(GroupStatus::Cancelling.code())
        .bind(reason.map(str::to_owned))
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
    insert_audit(&mut transaction, None, audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(CancelGroupOutcome::Cancelling)
}

pub(super) async fn delete(
    store: &SqliteStore,
    group: GroupId,
    audit: &Audit,
    now: Timestamp,
) -> Result<DeleteGroupOutcome, Error> {
    let mut transaction = store.begin().await?;
    let Some(status) = status(&mut transaction, group).await? else {
        return Ok(DeleteGroupOutcome::NotFound);
    };
    if !status.is_over() {
        return Ok(DeleteGroupOutcome::NotOver { status });
    }
    for statement in [
        // Its members stay, and leave their places to those of another group with this id.
        "UPDATE tasks SET group_id = NULL, group_index = NULL WHERE group_id = ?1",
        "DELETE FROM task_groups WHERE id = ?1",
    ] {
        sqlx::query(statement)
            .bind(group.0)
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
    }
    insert_audit(&mut transaction, None, audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(DeleteGroupOutcome::Deleted)
}

async fn status(connection: &mut SqliteConnection, group: GroupId) -> Result<Option<GroupStatus>, Error> {
    let row = sqlx::query("SELECT status FROM task_groups WHERE id = ?1")
        .bind(group.0)
        .fetch_optional(connection)
        .await
        .map_err(sql)?;
    row.map(|row| row::status(&row, group)).transpose()
}
