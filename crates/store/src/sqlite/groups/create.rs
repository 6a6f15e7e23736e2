//! Creating a group: its row, its members and their dispatch rows, in one commit.

use orchestratum_core::task::GroupLife;
use orchestratum_core::{JsonText, TaskId, Timestamp};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, json, parsed};
use super::super::tasks::{hash, insert_asking};
use crate::decide::{self, KeptKey};
use crate::{CreateGroupOutcome, Error, IdempotencyKey, NewGroup, NewTask};

pub(super) async fn create(store: &SqliteStore, group: &NewGroup, now: Timestamp) -> Result<CreateGroupOutcome, Error> {
    let mut transaction = store.begin().await?;
    let kept = match &group.idempotency {
        Some(key) => kept_key(&mut transaction, key).await?,
        None => None,
    };
    let existing: Option<Option<Vec<u8>>> = sqlx::query_scalar("SELECT request_hash FROM task_groups WHERE id = ?1")
        .bind(group.spec.id.0)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(sql)?;
    let existing = existing
        .map(|bytes| {
            let row = group.spec.id.to_string();
            bytes
                .map(|bytes| hash(&bytes, "task_groups", "request_hash", &row))
                .transpose()
        })
        .transpose()?;
    if let Some(outcome) = decide::create_group(group, kept.as_ref(), existing) {
        return Ok(outcome);
    }
    if let Some(key) = &group.idempotency {
        insert_key(&mut transaction, key, group.spec.id.0, now).await?;
    }
    insert_group(&mut transaction, group).await?;
    let tasks: Vec<&NewTask> = group.tasks.iter().collect();
    insert_asking(&mut transaction, &tasks, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(CreateGroupOutcome::Created)
}

async fn kept_key(connection: &mut SqliteConnection, key: &IdempotencyKey) -> Result<Option<KeptKey>, Error> {
    let row = sqlx::query("SELECT body_hash, resource_ids FROM idempotency_keys WHERE scope = ?1 AND key = ?2")
        .bind(&key.scope)
        .bind(&key.key)
        .fetch_optional(connection)
        .await
        .map_err(sql)?;
    let kept = row.map(|row| {
        let ids: Vec<Uuid> = parsed(get(&row, "resource_ids")?, "idempotency_keys", "resource_ids", &key.key)?;
        Ok(KeptKey {
            body_hash: hash(get(&row, "body_hash")?, "idempotency_keys", "body_hash", &key.key)?,
            ids: ids.into_iter().map(TaskId).collect(),
        })
    });
    kept.transpose()
}

async fn insert_key(
    connection: &mut SqliteConnection,
    key: &IdempotencyKey,
    group: Uuid,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(&key.scope)
    .bind(&key.key)
    .bind(key.body_hash.as_slice())
    .bind(json(&[group]))
    .bind(now.as_micros())
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

async fn insert_group(connection: &mut SqliteConnection, group: &NewGroup) -> Result<(), Error> {
    let spec = &group.spec;
    sqlx::query(
        "INSERT INTO task_groups (
             id, name, policy, on_complete, on_failure, size, remaining, request_hash, trace_parent, request_id, created_at
         )
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(spec.id.0)
    .bind(&spec.name)
    .bind(spec.policy.code())
    .bind(spec.on_complete.as_ref().map(JsonText::as_str))
    .bind(spec.on_failure.as_ref().map(JsonText::as_str))
    .bind(spec.size)
    .bind(GroupLife::new(spec).remaining)
    .bind(group.request_hash.as_ref().map(<[u8; 32]>::as_slice))
    .bind(group.origin.trace_parent.as_ref().map(|trace| trace.as_str().to_owned()))
    .bind(group.origin.request_id.as_ref().map(|request| request.as_str().to_owned()))
    .bind(spec.created_at.as_micros())
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}
