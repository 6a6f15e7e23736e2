//! Claiming over HTTP.

use std::collections::HashMap;

use orchestratum_core::{JsonText, RequestId, Target, TaskId, Timestamp, WorkerId};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{Hex, get, json, milliseconds, number, signed, task_id, timestamp, word};
use super::super::tasks::{claimed_task, start, take_dispatches, take_rated};
use super::super::values::{OverValues, over_values};
use crate::{ClaimRequest, ClaimedTask, Error, ExternalClaim, ExternalTask, ExternallyClaimed};

pub(super) async fn claim(
    store: &SqliteStore,
    claim: &ExternalClaim,
    now: Timestamp,
) -> Result<ExternallyClaimed, Error> {
    let mut transaction = store.begin().await?;
    let Some(worker) = register(&mut transaction, claim, now).await? else {
        return Ok(ExternallyClaimed::TooManyWorkers);
    };
    let before = match &claim.request_id {
        Some(request_id) => claimed_before(&mut transaction, worker, request_id, now).await?,
        None => None,
    };
    let (tasks, repeated) = match before {
        Some(tasks) => (tasks, true),
        None => (claim_new(&mut transaction, claim, worker, now).await?, false),
    };
    transaction.commit().await.map_err(sql)?;
    Ok(ExternallyClaimed::Tasks {
        worker,
        tasks,
        repeated,
    })
}

/// Registers the worker, or keeps it alive.
async fn register(
    connection: &mut SqliteConnection,
    claim: &ExternalClaim,
    now: Timestamp,
) -> Result<Option<WorkerId>, Error> {
    let registration = &claim.registration;
    let worker: Uuid = sqlx::query_scalar(
        "INSERT INTO workers (
             id, name, targets, names, capacity, isolation, environments, version, lease_ms, registered_at, state,
             renewed_at, lease_expires_at, key_id, offer
         )
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, '[]', ?7, ?8, ?9, 0, ?9, ?10, ?11, ?12)
         ON CONFLICT (offer) WHERE state = 0 AND offer IS NOT NULL DO UPDATE
         SET renewed_at = max(renewed_at, excluded.renewed_at),
             lease_expires_at = max(lease_expires_at, excluded.lease_expires_at),
             capacity = excluded.capacity
         RETURNING id",
    )
    .bind(registration.id.0)
    .bind(&registration.name)
    .bind(json(&registration.targets))
    .bind(json(&registration.names))
    .bind(registration.capacity)
    .bind(&registration.isolation)
    .bind(&registration.version)
    .bind(milliseconds(claim.lease))
    .bind(now.as_micros())
    .bind((now + registration.lease).as_micros())
    .bind(&claim.key_id)
    .bind(claim.offer.as_slice())
    .fetch_one(&mut *connection)
    .await
    .map_err(sql)?;
    if worker == registration.id.0 {
        let others: i64 =
            sqlx::query_scalar("SELECT count(*) FROM workers WHERE state = 0 AND key_id = ?1 AND id <> ?2")
                .bind(&claim.key_id)
                .bind(worker)
                .fetch_one(connection)
                .await
                .map_err(sql)?;
        if others >= signed(claim.workers_of_key) {
            // The transaction is rolled back.
            return Ok(None);
        }
    }
    Ok(Some(WorkerId(worker)))
}

/// The tasks that the same claim was given before, as far as they are still held; `None` if it was given none.
async fn claimed_before(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    request_id: &RequestId,
    now: Timestamp,
) -> Result<Option<Vec<ExternalTask>>, Error> {
    let rows = sqlx::query(
        "SELECT
             t.id, t.attempt, t.run, t.name, t.target, t.input, t.limits, t.timeout_ms, t.expires_at, t.trace_parent,
             t.request_id, t.started_at, t.follow_ups IS NOT NULL AS followed,
             CASE WHEN t.saga_id IS NOT NULL THEN t.priority END AS saga_priority, c.lease_expires_at
         FROM external_claims c
         LEFT JOIN tasks t
             ON t.id = c.task_id
             AND +t.status = 1
             AND t.attempt = c.attempt
             AND t.worker_id = c.worker_id
             AND c.lease_expires_at > ?3
         WHERE c.worker_id = ?1
           AND c.request_id = ?2
         ORDER BY c.place",
    )
    .bind(worker.0)
    .bind(request_id.as_str())
    .bind(now.as_micros())
    .fetch_all(&mut *connection)
    .await
    .map_err(sql)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        if get::<Option<Uuid>>(row, "id")?.is_some() {
            let task = claimed_task(row, timestamp(row, "started_at")?)?;
            held.push((task, timestamp(row, "lease_expires_at")?));
        }
    }
    let mut checkpoints = checkpoints(connection, held.iter().map(|(task, _)| task)).await?;
    let with_checkpoint = held.into_iter().map(|(task, lease_expires_at)| ExternalTask {
        checkpoint: checkpoints.remove(&task.id),
        lease_expires_at,
        task,
    });
    Ok(Some(with_checkpoint.collect()))
}

async fn claim_new(
    connection: &mut SqliteConnection,
    claim: &ExternalClaim,
    worker: WorkerId,
    now: Timestamp,
) -> Result<Vec<ExternalTask>, Error> {
    let served = &claim.registration.targets;
    let rated = rated(connection, served).await?;
    let request = |named: Vec<TaskId>| ClaimRequest {
        worker,
        limit: named.len(),
        named,
        targets: served.clone(),
        names: claim.registration.names.clone(),
        fill_up: false,
    };
    let mut ids = Vec::new();
    let mut bytes = claim.bytes;
    // First those of targets with a rate, as any claim: they take only what it allows.
    for target in &rated {
        let first = first_within_bytes(connection, claim, &[target], claim.limit - ids.len(), bytes, now).await?;
        bytes = bytes.saturating_sub(first.iter().map(|(_, bytes)| bytes).sum());
        let named: Vec<TaskId> = first.into_iter().map(|(id, _)| id).collect();
        let limit = named.len();
        ids.extend(take_rated(connection, &request(named), target.clone(), limit, now).await?);
    }
    let rest: Vec<&Target> = served.iter().filter(|target| !rated.contains(target)).collect();
    let first = first_within_bytes(connection, claim, &rest, claim.limit - ids.len(), bytes, now).await?;
    let named: Vec<TaskId> = first.into_iter().map(|(id, _)| id).collect();
    ids.extend(take_dispatches(connection, &request(named), false, now).await?);
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let claimed = start(connection, &request(Vec::new()), &ids, now).await?;
    hold(connection, claim, worker, claimed, now).await
}

/// Those of the targets that have a rate.
async fn rated(connection: &mut SqliteConnection, served: &[Target]) -> Result<Vec<Target>, Error> {
    let rows = sqlx::query(
        "SELECT target FROM target_rates WHERE target IN (SELECT value FROM json_each(?1)) ORDER BY target",
    )
    .bind(json(served))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| word(row, "target_rates", "target", "(rate)"))
        .collect()
}

/// The first ready tasks of the targets, as many as may be given and whose inputs fit, with the sizes of those.
async fn first_within_bytes(
    connection: &mut SqliteConnection,
    claim: &ExternalClaim,
    targets: &[&Target],
    limit: usize,
    most: usize,
    now: Timestamp,
) -> Result<Vec<(TaskId, usize)>, Error> {
    if limit == 0 || most == 0 || targets.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT d.task_id, octet_length(t.input) AS bytes
         FROM (SELECT DISTINCT value AS target FROM json_each(?1)) s
         CROSS JOIN (SELECT DISTINCT value AS name FROM json_each(?2)) o
         CROSS JOIN dispatches d ON d.task_id IN (
             SELECT r.task_id
             FROM dispatches r INDEXED BY dispatches_ready
             WHERE r.target = s.target
               AND r.name = o.name
               AND r.state = 0
               AND r.due_at <= ?3
               AND r.expires_at > ?3
             ORDER BY r.priority DESC, r.due_at, r.task_id
             LIMIT ?4
         )
         CROSS JOIN tasks t ON t.id = d.task_id
         WHERE s.target NOT IN (SELECT target FROM paused_targets)
         ORDER BY d.priority DESC, d.due_at, d.task_id
         LIMIT ?4",
    )
    .bind(json(targets))
    .bind(json(&claim.registration.names))
    .bind(now.as_micros())
    .bind(signed(limit))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    let mut bytes = 0;
    let mut first = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = task_id(row, "task_id")?;
        let size: usize = number(row, "tasks", "bytes", id)?;
        bytes += size;
        if bytes > most && !first.is_empty() {
            break;
        }
        first.push((id, size));
    }
    Ok(first)
}

/// Writes the leases of what was just claimed.
async fn hold(
    connection: &mut SqliteConnection,
    claim: &ExternalClaim,
    worker: WorkerId,
    claimed: Vec<ClaimedTask>,
    now: Timestamp,
) -> Result<Vec<ExternalTask>, Error> {
    // Those of an attempt before, which the sweep has not taken yet, are replaced.
    static HOLD: OverValues = over_values!(
        "INSERT OR REPLACE INTO external_claims (
             task_id, attempt, worker_id, request_id, place, lease_ms, ends_at, lease_expires_at
         )
         SELECT * FROM (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?)",
        ") WHERE column1 IS NOT NULL"
    );
    let ends_at = |task: &ClaimedTask| task.timeout.map(|timeout| now + timeout + claim.grace);
    let lease_expires_at = |task: &ClaimedTask| {
        let lease_expires_at = now + claim.lease;
        ends_at(task).map_or(lease_expires_at, |ends_at| ends_at.min(lease_expires_at))
    };
    let places: Vec<(usize, &ClaimedTask)> = claimed.iter().enumerate().collect();
    let request_id = claim.request_id.as_ref().map(RequestId::as_str);
    HOLD.execute(connection, &places, |statement, (place, task)| {
        statement
            .bind(task.id.0)
            .bind(task.attempt)
            .bind(worker.0)
            .bind(request_id.map(str::to_owned))
            .bind(signed(*place))
            .bind(milliseconds(claim.lease))
            .bind(ends_at(task).map(Timestamp::as_micros))
            .bind(lease_expires_at(task).as_micros())
    })
    .await?;
    // None has one before its second attempt.
    let again = claimed.iter().filter(|task| task.attempt > 1);
    let mut checkpoints = checkpoints(connection, again).await?;
    let held = claimed.into_iter().map(|task| ExternalTask {
        checkpoint: checkpoints.remove(&task.id),
        lease_expires_at: lease_expires_at(&task),
        task,
    });
    Ok(held.collect())
}

/// What these runs kept.
async fn checkpoints(
    connection: &mut SqliteConnection,
    tasks: impl Iterator<Item = &ClaimedTask>,
) -> Result<HashMap<TaskId, JsonText>, Error> {
    let asked: Vec<(Hex, u32)> = tasks.map(|task| (Hex(task.id.0), task.run)).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT c.task_id, c.content
         FROM json_each(?1) a
         CROSS JOIN checkpoints c ON c.task_id = unhex(a.value ->> 0) AND c.run = a.value ->> 1",
    )
    .bind(json(&asked))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            Ok((
                task_id(row, "task_id")?,
                JsonText::trusted(get::<String>(row, "content")?),
            ))
        })
        .collect()
}
