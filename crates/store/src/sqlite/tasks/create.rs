//! Storing tasks.

use std::collections::HashMap;

use orchestratum_core::task::TaskState;
use orchestratum_core::{TaskId, Timestamp};
use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{Hex, damaged, get, id_list, json, milliseconds, parsed, task_id};
use crate::decide::{self, DispatchRow, KeptKey, LifeColumns};
use crate::{Announce, CreateOutcome, CreateRequest, Error, NewTask};

pub(super) async fn create(
    store: &SqliteStore,
    requests: &[CreateRequest],
    now: Timestamp,
) -> Result<Vec<CreateOutcome>, Error> {
    let mut transaction = store.begin().await?;
    let keys = kept_keys(&mut transaction, requests).await?;
    let existing = existing(&mut transaction, requests).await?;
    let acceptance = decide::create(requests, keys, existing);
    let tasks: Vec<&NewTask> = acceptance.accepted.iter().flat_map(|request| &request.tasks).collect();
    if !acceptance.accepted.is_empty() {
        insert_tasks(&mut transaction, &tasks).await?;
        insert_dispatches(
            &mut transaction,
            &tasks.iter().filter_map(|task| dispatch(task, now)).collect::<Vec<_>>(),
        )
        .await?;
        insert_keys(&mut transaction, &acceptance.accepted, now).await?;
    }
    transaction.commit().await.map_err(sql)?;
    Ok(acceptance.outcomes)
}

async fn kept_keys(
    connection: &mut SqliteConnection,
    requests: &[CreateRequest],
) -> Result<HashMap<(String, String), KeptKey>, Error> {
    let wanted: Vec<(&str, &str)> = requests
        .iter()
        .filter_map(|request| request.idempotency.as_ref())
        .map(|key| (key.scope.as_str(), key.key.as_str()))
        .collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT k.scope, k.key, k.body_hash, k.resource_ids
         FROM json_each(?1) w
         JOIN idempotency_keys k ON k.scope = w.value ->> 0 AND k.key = w.value ->> 1",
    )
    .bind(json(&wanted))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let key: String = get(row, "key")?;
            let ids: Vec<Uuid> = parsed(get(row, "resource_ids")?, "idempotency_keys", "resource_ids", &key)?;
            let kept = KeptKey {
                body_hash: hash(get(row, "body_hash")?, "idempotency_keys", "body_hash", &key)?,
                ids: ids.into_iter().map(TaskId).collect(),
            };
            Ok(((get(row, "scope")?, key), kept))
        })
        .collect()
}

fn hash(bytes: &[u8], table: &'static str, column: &'static str, row: &str) -> Result<[u8; 32], Error> {
    bytes
        .try_into()
        .map_err(|_| damaged(table, column, row, format!("{} bytes are no SHA-256", bytes.len())))
}

async fn existing(
    connection: &mut SqliteConnection,
    requests: &[CreateRequest],
) -> Result<HashMap<TaskId, Option<[u8; 32]>>, Error> {
    let ids = requests
        .iter()
        .flat_map(|request| &request.tasks)
        .map(|task| task.spec.id);
    let rows = sqlx::query(
        "SELECT t.id, t.request_hash
         FROM json_each(?1) w
         JOIN tasks t ON t.id = unhex(w.value)",
    )
    .bind(id_list(ids))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let id = task_id(row, "id")?;
            let request_hash = get::<Option<&[u8]>>(row, "request_hash")?
                .map(|bytes| hash(bytes, "tasks", "request_hash", &id.to_string()))
                .transpose()?;
            Ok((id, request_hash))
        })
        .collect()
}

/// One element of the JSON text that `INSERT INTO tasks` unfolds.
#[derive(Serialize)]
struct TaskRow<'a> {
    id: Hex,
    name: &'a str,
    target: &'a str,
    description: Option<&'a str>,
    input: &'a str,
    labels: Option<String>,
    limits: Option<&'a str>,
    backoff: String,
    ttl_ms: i64,
    timeout_ms: Option<i64>,
    max_retries: u16,
    max_losses: u16,
    priority: u8,
    parent_id: Option<Hex>,
    request_hash: Option<String>,
    created_at: i64,
    scheduled_at: i64,
    expires_at: i64,
    status: i64,
    run: i64,
    attempt: i64,
    version: i64,
    retries_left: i64,
    losses_left: i64,
    cancel_requested: bool,
    worker_id: Option<Hex>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    error: Option<String>,
}

impl<'a> TaskRow<'a> {
    fn of(task: &'a NewTask) -> Self {
        let spec = &task.spec;
        let life = LifeColumns::encode(&task.life, None, None);
        Self {
            id: Hex(spec.id.0),
            name: spec.name.as_str(),
            target: spec.target.as_str(),
            description: spec.description.as_deref(),
            input: spec.input.as_str(),
            labels: (!spec.labels.is_empty()).then(|| json(&spec.labels)),
            limits: spec.limits.as_ref().map(|limits| limits.as_str()),
            backoff: json(&spec.policy.backoff),
            ttl_ms: milliseconds(spec.ttl),
            timeout_ms: spec.timeout.map(milliseconds),
            max_retries: spec.policy.max_retries,
            max_losses: spec.policy.max_losses,
            priority: spec.priority,
            parent_id: spec.parent_id.map(|id| Hex(id.0)),
            request_hash: task.request_hash.map(|hash| hex(&hash)),
            created_at: spec.created_at.as_micros(),
            scheduled_at: life.scheduled_at.as_micros(),
            expires_at: life.expires_at.as_micros(),
            status: life.status,
            run: life.run,
            attempt: life.attempt,
            version: life.version,
            retries_left: life.retries_left,
            losses_left: life.losses_left,
            cancel_requested: life.cancel_requested,
            worker_id: life.worker.map(|id| Hex(id.0)),
            started_at: life.started_at.map(Timestamp::as_micros),
            finished_at: life.finished_at.map(Timestamp::as_micros),
            error: life.error,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes every character");
            text
        })
}

async fn insert_tasks(connection: &mut SqliteConnection, tasks: &[&NewTask]) -> Result<(), Error> {
    let rows: Vec<TaskRow<'_>> = tasks.iter().map(|task| TaskRow::of(task)).collect();
    sqlx::query(
        "INSERT INTO tasks (
             id, name, target, description, input, labels, limits, backoff, ttl_ms, timeout_ms, max_retries,
             max_losses, priority, parent_id, request_hash, created_at, scheduled_at, expires_at, status, run, attempt,
             version, retries_left, losses_left, cancel_requested, worker_id, started_at, finished_at, error
         )
         SELECT
             unhex(value ->> 'id'), value ->> 'name', value ->> 'target', value ->> 'description', value ->> 'input',
             value ->> 'labels', value ->> 'limits', value ->> 'backoff', value ->> 'ttl_ms', value ->> 'timeout_ms',
             value ->> 'max_retries', value ->> 'max_losses', value ->> 'priority', unhex(value ->> 'parent_id'),
             unhex(value ->> 'request_hash'), value ->> 'created_at', value ->> 'scheduled_at', value ->> 'expires_at',
             value ->> 'status', value ->> 'run', value ->> 'attempt', value ->> 'version', value ->> 'retries_left',
             value ->> 'losses_left', value ->> 'cancel_requested', unhex(value ->> 'worker_id'),
             value ->> 'started_at', value ->> 'finished_at', value ->> 'error'
         FROM json_each(?1)",
    )
    .bind(json(&rows))
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

fn dispatch(task: &NewTask, now: Timestamp) -> Option<DispatchRow> {
    let TaskState::Pending { due_at } = task.life.state else {
        return None;
    };
    Some(DispatchRow {
        task: task.spec.id,
        target: task.spec.target.clone(),
        name: task.spec.name.clone(),
        priority: task.spec.priority,
        due_at,
        expires_at: task.life.expires_at,
        publish_at: DispatchRow::publish_at(due_at, task.announce == Announce::ByCaller, now),
        delayed: due_at > now,
    })
}

/// Writes dispatch rows, new ones and changed ones.
pub(super) async fn insert_dispatches(connection: &mut SqliteConnection, rows: &[DispatchRow]) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Element<'a>(Hex, &'a str, &'a str, u8, i64, i64, i64, u8);
    if rows.is_empty() {
        return Ok(());
    }
    let elements: Vec<Element<'_>> = rows
        .iter()
        .map(|row| {
            Element(
                Hex(row.task.0),
                row.target.as_str(),
                row.name.as_str(),
                row.priority,
                row.due_at.as_micros(),
                row.expires_at.as_micros(),
                row.publish_at.as_micros(),
                u8::from(row.delayed),
            )
        })
        .collect();
    sqlx::query(
        "INSERT OR REPLACE INTO dispatches (task_id, target, name, priority, due_at, expires_at, publish_at, state)
         SELECT
             unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
             value ->> 7
         FROM json_each(?1)",
    )
    .bind(json(&elements))
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

async fn insert_keys(
    connection: &mut SqliteConnection,
    accepted: &[&CreateRequest],
    now: Timestamp,
) -> Result<(), Error> {
    let rows: Vec<(&str, &str, String, String)> = accepted
        .iter()
        .filter_map(|request| {
            let key = request.idempotency.as_ref()?;
            let ids: Vec<Uuid> = request.tasks.iter().map(|task| task.spec.id.0).collect();
            Some((key.scope.as_str(), key.key.as_str(), hex(&key.body_hash), json(&ids)))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
         SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, ?2
         FROM json_each(?1)",
    )
    .bind(json(&rows))
    .bind(now.as_micros())
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}
