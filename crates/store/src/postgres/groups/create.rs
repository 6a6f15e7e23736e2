//! Creating a group: its row, its members and their dispatch rows, in one commit.

use orchestratum_core::task::GroupLife;
use orchestratum_core::{JsonText, RequestId, TaskId, Timestamp, TraceParent};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::database::Database;
use super::super::rows::{Place, time};
use super::super::tasks::{insert_asking, overtaken_on};
use super::super::transaction::{Abort, Transaction};
use crate::decide::{self, KeptKey};
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
        let kept = match &group.idempotency {
            Some(key) => kept_key(connection, key).await?,
            None => None,
        };
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
        if let Some(key) = &group.idempotency {
            insert_key(connection, key, group.spec.id.0, self.now).await?;
        }
        insert_group(connection, group).await?;
        let tasks: Vec<&NewTask> = group.tasks.iter().collect();
        insert_asking(connection, &tasks, self.now).await?;
        Ok(CreateGroupOutcome::Created)
    }
}

async fn kept_key(connection: &mut PgConnection, key: &IdempotencyKey) -> Result<Option<KeptKey>, Abort> {
    let row: Option<(Vec<u8>, Vec<Uuid>)> =
        sqlx::query_as("SELECT body_hash, resource_ids FROM idempotency_keys WHERE scope = $1 AND key = $2")
            .bind(&key.scope)
            .bind(&key.key)
            .fetch_optional(connection)
            .await?;
    let kept = row.map(|(body_hash, ids)| {
        Ok::<_, Error>(KeptKey {
            body_hash: hash("idempotency_keys", "body_hash", &key.key, body_hash)?,
            ids: ids.into_iter().map(TaskId).collect(),
        })
    });
    Ok(kept.transpose()?)
}

fn hash(
    table: &'static str,
    column: &'static str,
    row: &(impl std::fmt::Display + Sync),
    bytes: Vec<u8>,
) -> Result<[u8; 32], Error> {
    let length = bytes.len();
    let place = Place { table, row };
    bytes
        .try_into()
        .map_err(|_| place.corrupt(column, format!("it has {length} bytes, not 32")))
}

async fn insert_key(
    connection: &mut PgConnection,
    key: &IdempotencyKey,
    group: Uuid,
    now: Timestamp,
) -> Result<(), Abort> {
    sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
        VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&key.scope)
    .bind(&key.key)
    .bind(key.body_hash)
    .bind(vec![group])
    .bind(time(now))
    .execute(connection)
    .await
    .map_err(|error| overtaken_on(error, "idempotency_keys_pkey"))?;
    Ok(())
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
