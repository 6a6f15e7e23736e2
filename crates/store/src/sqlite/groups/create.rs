//! Creating a group: its row, its members and their dispatch rows, in one commit.

use orchestratum_core::task::GroupLife;
use orchestratum_core::{JsonText, Timestamp};
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::idempotency::{self, hash};
use super::super::tasks::insert_asking;
use crate::decide;
use crate::{CreateGroupOutcome, Error, IdempotencyKey, NewGroup, NewTask};

pub(super) async fn create(store: &SqliteStore, group: &NewGroup, now: Timestamp) -> Result<CreateGroupOutcome, Error> {
    let mut transaction = store.begin().await?;
    let key: Vec<&IdempotencyKey> = group.idempotency.iter().collect();
    let kept = idempotency::kept(&mut transaction, &key).await?.into_values().next();
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
    let key = group.idempotency.iter().map(|key| (key, vec![group.spec.id.0]));
    idempotency::keep(&mut transaction, key.collect(), now).await?;
    insert_group(&mut transaction, group).await?;
    let tasks: Vec<&NewTask> = group.tasks.iter().collect();
    let ready = insert_asking(&mut transaction, &tasks, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(CreateGroupOutcome::Created { ready })
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
