//! Creating tasks where something may exist already: an idempotency key, an id the caller chose, our own first try.
//!
//! What exists is read, `decide` answers, and the rest is inserted plainly. Whoever else inserted the same key or id
//! meanwhile makes the insert wait and then fail: the transaction begins again, and now reads what that one left.

use std::collections::HashMap;

use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::failure;
use super::super::rows::{Place, time};
use super::super::transaction::{Abort, Transaction};
use super::{create, gates, unique};
use crate::decide::{self, Acceptance, DispatchRow, GateChanges, KeptKey};
use crate::{CreateOutcome, CreateRequest, Error, IdempotencyKey, NewTask};

pub(super) struct CreateGuarded {
    requests: Vec<CreateRequest>,
    now: Timestamp,
}

impl CreateGuarded {
    pub(super) fn new(requests: &[CreateRequest], now: Timestamp) -> Self {
        Self {
            requests: requests.to_vec(),
            now,
        }
    }
}

impl Transaction for CreateGuarded {
    type Output = Vec<CreateOutcome>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Self::Output, Abort> {
        let keys = kept_keys(connection, &self.requests).await?;
        let existing = existing_tasks(connection, &self.requests).await?;
        let Acceptance { mut outcomes, accepted } = decide::create(&self.requests, keys, existing);
        let mut tasks: Vec<&NewTask> = accepted.iter().flat_map(|request| &request.tasks).collect();
        let met = unique::meet(connection, &tasks, self.now).await?;
        insert_keys(connection, &accepted, &met, self.now).await?;
        tasks.retain(|task| !met.contains_key(&task.spec.id));
        let mut gates = GateChanges::default();
        gates.created(tasks.iter().copied(), self.now);
        insert_tasks(connection, &mut tasks, self.now).await?;
        let publish_at = DispatchRow::publish_at(self.now, true, self.now);
        let ready = gates::settle(connection, &gates, publish_at, self.now).await?;
        decide::admitted(&self.requests, &mut outcomes, &met, ready);
        Ok(outcomes)
    }
}

fn keys_of<'a>(requests: impl IntoIterator<Item = &'a CreateRequest>) -> Vec<(&'a IdempotencyKey, Vec<Uuid>)> {
    requests
        .into_iter()
        .filter_map(|request| {
            let ids = request.tasks.iter().map(|task| task.spec.id.0).collect();
            Some((request.idempotency.as_ref()?, ids))
        })
        .collect()
}

async fn kept_keys(
    connection: &mut PgConnection,
    requests: &[CreateRequest],
) -> Result<HashMap<(String, String), KeptKey>, Abort> {
    let keys = keys_of(requests);
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, String, Vec<u8>, Vec<Uuid>)> = sqlx::query_as(
        "SELECT scope, key, body_hash, resource_ids
        FROM idempotency_keys
        WHERE (scope, key) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))",
    )
    .bind(keys.iter().map(|(key, _)| key.scope.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(key, _)| key.key.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(scope, key, body_hash, ids)| {
            let row = format!("{scope}/{key}");
            let kept = KeptKey {
                body_hash: hash("idempotency_keys", "body_hash", &row, body_hash)?,
                ids: ids.into_iter().map(TaskId).collect(),
            };
            Ok(((scope, key), kept))
        })
        .collect()
}

async fn existing_tasks(
    connection: &mut PgConnection,
    requests: &[CreateRequest],
) -> Result<HashMap<TaskId, Option<[u8; 32]>>, Abort> {
    let ids: Vec<Uuid> = requests
        .iter()
        .flat_map(|request| &request.tasks)
        .map(|task| task.spec.id.0)
        .collect();
    let rows: Vec<(Uuid, Option<Vec<u8>>)> = sqlx::query_as("SELECT id, request_hash FROM tasks WHERE id = ANY($1)")
        .bind(ids)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|(id, request_hash)| {
            let request_hash = request_hash
                .map(|bytes| hash("tasks", "request_hash", &id.to_string(), bytes))
                .transpose()?;
            Ok((TaskId(id), request_hash))
        })
        .collect()
}

fn hash(table: &'static str, column: &'static str, row: &String, bytes: Vec<u8>) -> Result<[u8; 32], Error> {
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| Place { table, row }.corrupt(column, format!("it has {length} bytes, not 32")))
}

/// A key stands for the tasks of its request, and where one of these met another one, for that.
async fn insert_keys(
    connection: &mut PgConnection,
    accepted: &[&CreateRequest],
    met: &HashMap<TaskId, TaskId>,
    now: Timestamp,
) -> Result<(), Abort> {
    let mut keys = keys_of(accepted.iter().copied());
    // One order for all, so that two batches with the same keys wait for each other and never deadlock.
    keys.sort_by(|(a, _), (b, _)| (&a.scope, &a.key).cmp(&(&b.scope, &b.key)));
    for (key, mut ids) in keys {
        for id in &mut ids {
            *id = met.get(&TaskId(*id)).map_or(*id, |met| met.0);
        }
        sqlx::query(
            "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
            VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&key.scope)
        .bind(&key.key)
        .bind(key.body_hash)
        .bind(ids)
        .bind(time(now))
        .execute(&mut *connection)
        .await
        .map_err(|error| overtaken_on(error, "idempotency_keys_pkey"))?;
    }
    Ok(())
}

async fn insert_tasks(connection: &mut PgConnection, tasks: &mut [&NewTask], now: Timestamp) -> Result<(), Abort> {
    tasks.sort_unstable_by_key(|task| task.spec.id);
    create::insert_tasks(connection, tasks, now)
        .await
        .map_err(|error| overtaken_on(error, "tasks_pkey"))
}

pub(in super::super) fn overtaken_on(error: sqlx::Error, constraint: &str) -> Abort {
    if failure::is_conflict_on(&error, constraint) {
        Abort::Overtaken
    } else {
        Abort::Sql(error)
    }
}
