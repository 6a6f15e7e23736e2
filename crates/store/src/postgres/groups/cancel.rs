//! What callers do to a group as a whole.

use orchestratum_core::task::GroupStatus;
use orchestratum_core::{GroupId, Timestamp};
use sqlx::PgConnection;

use super::super::audit;
use super::super::database::Database;
use super::super::rows::Place;
use super::super::transaction::{Abort, Transaction};
use super::row;
use crate::{Audit, CancelGroupOutcome, DeleteGroupOutcome, Error, decide};

pub(super) async fn cancel(
    database: &Database,
    group: GroupId,
    reason: Option<&str>,
    audit: &Audit,
    now: Timestamp,
) -> Result<CancelGroupOutcome, Error> {
    let reason = reason.map(str::to_owned);
    let audit = audit.clone();
    database
        .transact(Cancel {
            group,
            reason,
            audit,
            now,
        })
        .await
}

struct Cancel {
    group: GroupId,
    reason: Option<String>,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for Cancel {
    type Output = CancelGroupOutcome;

    async fn perform(&self, connection: &mut PgConnection) -> Result<CancelGroupOutcome, Abort> {
        let Some(status) = lock(connection, self.group).await? else {
            return Ok(CancelGroupOutcome::NotFound);
        };
        if let Some(outcome) = decide::cancel_group(status) {
            return Ok(outcome);
        }
        sqlx::query("UPDATE task_groups SET status = $2, reason = $3 WHERE id = $1")
            .bind(self.group.0)
            .bind(GroupStatus::Cancelling.code())
            .bind(&self.reason)
            .execute(&mut *connection)
            .await?;
        audit::record(connection, &self.audit, self.now).await?;
        Ok(CancelGroupOutcome::Cancelling)
    }
}

pub(super) async fn delete(
    database: &Database,
    group: GroupId,
    audit: &Audit,
    now: Timestamp,
) -> Result<DeleteGroupOutcome, Error> {
    let audit = audit.clone();
    database.transact(Delete { group, audit, now }).await
}

struct Delete {
    group: GroupId,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for Delete {
    type Output = DeleteGroupOutcome;

    async fn perform(&self, connection: &mut PgConnection) -> Result<DeleteGroupOutcome, Abort> {
        let Some(status) = lock(connection, self.group).await? else {
            return Ok(DeleteGroupOutcome::NotFound);
        };
        if !status.is_over() {
            return Ok(DeleteGroupOutcome::NotOver { status });
        }
        // Its members stay, and leave their places to those of another group with this id.
        sqlx::query(
            "WITH member AS MATERIALIZED (SELECT id FROM tasks WHERE group_id = $1 ORDER BY id FOR UPDATE),
            free AS (
                UPDATE tasks
                SET group_id = NULL, group_index = NULL
                WHERE id = ANY(ARRAY(SELECT id FROM member))
            )
            DELETE FROM task_groups WHERE id = $1",
        )
        .bind(self.group.0)
        .execute(&mut *connection)
        .await?;
        audit::record(connection, &self.audit, self.now).await?;
        Ok(DeleteGroupOutcome::Deleted)
    }
}

async fn lock(connection: &mut PgConnection, group: GroupId) -> Result<Option<GroupStatus>, Abort> {
    let row: Option<(i16,)> = sqlx::query_as("SELECT status FROM task_groups WHERE id = $1 FOR UPDATE")
        .bind(group.0)
        .fetch_optional(connection)
        .await?;
    let place = Place {
        table: "task_groups",
        row: &group,
    };
    Ok(row.map(|(code,)| row::status(&place, code)).transpose()?)
}
