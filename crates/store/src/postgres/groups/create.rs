//! Creating a group: its row, its members and their dispatch rows, in one commit.

use orchestratum_core::task::GroupLife;
use orchestratum_core::{JsonText, RequestId, Timestamp, TraceParent};
use sqlx::PgConnection;

use super::super::database::Database;
use super::super::idempotency::{self, hash, overtaken_on};
use super::super::rows::time;
use super::super::tasks::insert_asking;
use super::super::transaction::{Abort, Transaction};
use crate::decide;
use crate::{CreateGroupOutcome, Error, IdempotencyKey, NewGroup, NewTask};

pub(super) async fn create(database: &Database, group: &NewGroup, now: Timestamp) -> Result<CreateGroupOutcome, Error> {
    let group = group.clone();
    database.transact(Create { group, now }).await
}

struct Create {
    group: NewGroup,
    now: Timestamp,
}

impl Transaction for Create {
    type Output = CreateGroupOutcome;

    async fn perform(&self, connection: &mut PgConnection) -> Result<CreateGroupOutcome, Abort> {
        let group = &self.group;
        let key: Vec<&IdempotencyKey> = group.idempotency.iter().collect();
        let kept = idempotency::kept(connection, &key).await?.into_values().next();
        let existing: Option<(Option<Vec<u8>>,)> = sqlx::query_as("SELECT request_hash FROM task_groups WHERE id = $1")
            .bind(group.spec.id.0)
            .fetch_optional(&mut *connection)
            .await?;
        let existing = existing
            .map(|(bytes,)| {
                bytes
                    .map(|bytes| hash("task_groups", "request_hash", &group.spec.id, bytes))
                    .transpose()
            })
            .transpose()?;
        if let Some(outcome) = decide::create_group(group, kept.as_ref(), existing) {
            return Ok(outcome);
        }
        let key = group.idempotency.iter().map(|key| (key, vec![group.spec.id.0]));
        idempotency::keep(connection, key.collect(), self.now).await?;
        insert_group(connection, group).await?;
        let tasks: Vec<&NewTask> = group.tasks.iter().collect();
        let ready = insert_asking(connection, &tasks, self.now).await?;
        Ok(CreateGroupOutcome::Created { ready })
    }
}

async fn insert_group(connection: &mut PgConnection, group: &NewGroup) -> Result<(), Abort> {
    let spec = &group.spec;
    sqlx::query(
        "INSERT INTO task_groups (
            id, name, policy, on_complete, on_failure, size, remaining, request_hash, trace_parent, request_id, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(spec.id.0)
    .bind(&spec.name)
    .bind(spec.policy.code())
    .bind(spec.on_complete.as_ref().map(JsonText::as_str))
    .bind(spec.on_failure.as_ref().map(JsonText::as_str))
    .bind(i32::from(spec.size))
    .bind(GroupLife::new(spec).remaining)
    .bind(group.request_hash.as_ref().map(<[u8; 32]>::as_slice))
    .bind(group.origin.trace_parent.as_ref().map(TraceParent::as_str))
    .bind(group.origin.request_id.as_ref().map(RequestId::as_str))
    .bind(time(spec.created_at))
    .execute(connection)
    .await
    .map_err(|error| overtaken_on(error, "task_groups_pkey"))?;
    Ok(())
}
