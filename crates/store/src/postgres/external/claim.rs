//! Claiming over HTTP.

use std::collections::HashMap;

use orchestratum_core::{JsonText, RequestId, Target, TaskId, TaskName, Timestamp, WorkerId};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::super::database::Database;
use super::super::queues::{lock_buckets, spend};
use super::super::rows::{Place, Time, int4, int8, milliseconds, time, timestamp};
use super::super::tasks::{CLAIM_WITHIN_BYTES, CLAIM_WITHIN_BYTES_RATED, ClaimedRow, claimed};
use super::super::transaction::{Abort, Transaction};
use crate::{ClaimedTask, Error, ExternalClaim, ExternalTask, ExternallyClaimed};

pub(super) async fn claim(
    database: &Database,
    claim: &ExternalClaim,
    now: Timestamp,
) -> Result<ExternallyClaimed, Error> {
    database
        .transact(Claim {
            claim: claim.clone(),
            now,
        })
        .await
}

struct Claim {
    claim: ExternalClaim,
    now: Timestamp,
}

impl Transaction for Claim {
    type Output = ExternallyClaimed;

    async fn perform(&self, connection: &mut PgConnection) -> Result<ExternallyClaimed, Abort> {
        // Its row is locked from here on: of two claims that are the same one sees the other's tasks.
        let Some(worker) = self.worker(connection).await? else {
            return Ok(ExternallyClaimed::TooManyWorkers);
        };
        if let Some(request_id) = &self.claim.request_id
            && let Some(tasks) = self.claimed_before(connection, worker, request_id).await?
        {
            return Ok(ExternallyClaimed::Tasks {
                worker,
                tasks,
                repeated: true,
            });
        }
        let claimed = self.take(connection, worker).await?;
        let tasks = self.hold(connection, worker, claimed).await?;
        Ok(ExternallyClaimed::Tasks {
            worker,
            tasks,
            repeated: false,
        })
    }
}

impl Claim {
    /// Registers the worker, or keeps it alive.
    async fn worker(&self, connection: &mut PgConnection) -> Result<Option<WorkerId>, Abort> {
        let registration = &self.claim.registration;
        let (worker,): (Uuid,) = sqlx::query_as(
            "INSERT INTO workers (
                id, name, targets, names, capacity, isolation, environments, version, lease_ms,
                registered_at, state, renewed_at, lease_expires_at, key_id, offer
            )
            VALUES ($1, $2, $3, $4, $5, $6, '{}', $7, $8, $9, 0, $9, $10, $11, $12)
            ON CONFLICT (offer) WHERE state = 0 AND offer IS NOT NULL DO UPDATE
            SET renewed_at = GREATEST(workers.renewed_at, excluded.renewed_at),
                lease_expires_at = GREATEST(workers.lease_expires_at, excluded.lease_expires_at),
                capacity = excluded.capacity
            RETURNING id",
        )
        .bind(registration.id.0)
        .bind(&registration.name)
        .bind(column(&registration.targets, Target::as_str))
        .bind(column(&registration.names, TaskName::as_str))
        .bind(int4(registration.capacity))
        .bind(&registration.isolation)
        .bind(&registration.version)
        .bind(milliseconds(self.claim.lease))
        .bind(time(self.now))
        .bind(time(self.now + registration.lease))
        .bind(&self.claim.key_id)
        .bind(self.claim.offer.as_slice())
        .fetch_one(&mut *connection)
        .await?;
        if worker == registration.id.0 {
            let (others,): (i64,) =
                sqlx::query_as("SELECT count(*) FROM workers WHERE state = 0 AND key_id = $1 AND id <> $2")
                    .bind(&self.claim.key_id)
                    .bind(worker)
                    .fetch_one(&mut *connection)
                    .await?;
            if others >= int8(self.claim.workers_of_key) {
                sqlx::query("DELETE FROM workers WHERE id = $1")
                    .bind(worker)
                    .execute(connection)
                    .await?;
                return Ok(None);
            }
        }
        Ok(Some(WorkerId(worker)))
    }

    /// The tasks that the same claim was given before, as far as they are still held; `None` if it was given none.
    async fn claimed_before(
        &self,
        connection: &mut PgConnection,
        worker: WorkerId,
        request_id: &RequestId,
    ) -> Result<Option<Vec<ExternalTask>>, Abort> {
        let rows: Vec<HeldRow> = sqlx::query_as(
            "SELECT
                held.task_id, tasks.attempt, tasks.run, tasks.name, tasks.target, tasks.input, tasks.limits,
                tasks.timeout_ms, tasks.expires_at, tasks.trace_parent, tasks.request_id, tasks.started_at,
                held.lease_expires_at
            FROM external_claims AS held
            LEFT JOIN tasks
                ON tasks.id = held.task_id
                AND tasks.status = 1
                AND tasks.attempt = held.attempt
                AND tasks.worker_id = held.worker_id
                AND held.lease_expires_at > $3
            WHERE held.worker_id = $1 AND held.request_id = $2
            ORDER BY held.place",
        )
        .bind(worker.0)
        .bind(request_id.as_str())
        .bind(time(self.now))
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let held: Vec<(ClaimedTask, Timestamp)> = rows
            .into_iter()
            .filter_map(|row| row.into_task().transpose())
            .collect::<Result<_, _>>()?;
        let mut checkpoints = checkpoints(connection, held.iter().map(|(task, _)| task)).await?;
        let with_checkpoint = held.into_iter().map(|(task, lease_expires_at)| ExternalTask {
            checkpoint: checkpoints.remove(&task.id),
            lease_expires_at,
            task,
        });
        Ok(Some(with_checkpoint.collect()))
    }

    /// First those of targets with a rate, as any claim: they take only what it allows.
    async fn take(&self, connection: &mut PgConnection, worker: WorkerId) -> Result<Vec<ClaimedTask>, Abort> {
        let targets = column(&self.claim.registration.targets, Target::as_str);
        let mut taken = Vec::new();
        for (target, bucket) in lock_buckets(connection, &targets).await? {
            let available = usize::try_from(bucket.available(self.now)).unwrap_or(usize::MAX);
            let of_target = [target.as_str()];
            let starts = self
                .take_more(
                    connection,
                    worker,
                    &of_target,
                    CLAIM_WITHIN_BYTES_RATED,
                    available,
                    &mut taken,
                )
                .await?;
            spend(connection, &target, bucket, starts, self.now).await?;
        }
        self.take_more(connection, worker, &targets, CLAIM_WITHIN_BYTES, usize::MAX, &mut taken)
            .await?;
        Ok(taken)
    }

    /// Takes what the claim still may, and at most so many; returns how many it took.
    async fn take_more(
        &self,
        connection: &mut PgConnection,
        worker: WorkerId,
        targets: &[&str],
        statement: &'static str,
        most: usize,
        taken: &mut Vec<ClaimedTask>,
    ) -> Result<usize, Abort> {
        let limit = self.claim.limit.saturating_sub(taken.len()).min(most);
        let held: usize = taken.iter().map(|task| task.input.len()).sum();
        let bytes = self.claim.bytes.saturating_sub(held);
        if limit == 0 || bytes == 0 {
            return Ok(0);
        }
        let rows: Vec<ClaimedRow> = sqlx::query_as(statement)
            .bind(worker.0)
            .bind(time(self.now))
            .bind(targets)
            .bind(column(&self.claim.registration.names, TaskName::as_str))
            .bind(Vec::<Uuid>::new())
            .bind(int8(limit))
            .bind(int8(bytes))
            .fetch_all(connection)
            .await?;
        let before = taken.len();
        for row in rows {
            taken.extend(claimed(row, self.now)?);
        }
        Ok(taken.len() - before)
    }

    /// Writes the leases of what was just claimed.
    async fn hold(
        &self,
        connection: &mut PgConnection,
        worker: WorkerId,
        claimed: Vec<ClaimedTask>,
    ) -> Result<Vec<ExternalTask>, Abort> {
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let ends_at = |task: &ClaimedTask| task.timeout.map(|timeout| self.now + timeout + self.claim.grace);
        let lease_expires_at = |task: &ClaimedTask| {
            let lease_expires_at = self.now + self.claim.lease;
            ends_at(task).map_or(lease_expires_at, |ends_at| ends_at.min(lease_expires_at))
        };
        sqlx::query(
            "INSERT INTO external_claims (
                task_id, attempt, worker_id, request_id, place, lease_ms, ends_at, lease_expires_at
            )
            SELECT task_id, attempt, $5, $6, place, $7, ends_at, lease_expires_at
            FROM UNNEST($1::uuid[], $2::integer[], $3::timestamptz[], $4::timestamptz[])
                WITH ORDINALITY AS held (task_id, attempt, ends_at, lease_expires_at, place)
            -- Of an attempt before, which the sweep has not taken yet.
            ON CONFLICT (task_id) DO UPDATE
            SET attempt = excluded.attempt,
                worker_id = excluded.worker_id,
                request_id = excluded.request_id,
                place = excluded.place,
                lease_ms = excluded.lease_ms,
                ends_at = excluded.ends_at,
                lease_expires_at = excluded.lease_expires_at",
        )
        .bind(claimed.iter().map(|task| task.id.0).collect::<Vec<_>>())
        .bind(claimed.iter().map(|task| int4(task.attempt)).collect::<Vec<_>>())
        .bind(claimed.iter().map(|task| ends_at(task).map(time)).collect::<Vec<_>>())
        .bind(
            claimed
                .iter()
                .map(|task| time(lease_expires_at(task)))
                .collect::<Vec<_>>(),
        )
        .bind(worker.0)
        .bind(self.claim.request_id.as_ref().map(RequestId::as_str))
        .bind(milliseconds(self.claim.lease))
        .execute(&mut *connection)
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
}

fn column<'a, T>(values: &'a [T], text: impl Fn(&'a T) -> &'a str) -> Vec<&'a str> {
    values.iter().map(text).collect()
}

/// What these runs kept.
async fn checkpoints(
    connection: &mut PgConnection,
    tasks: impl Iterator<Item = &ClaimedTask> + Clone,
) -> Result<HashMap<TaskId, JsonText>, Abort> {
    let ids: Vec<Uuid> = tasks.clone().map(|task| task.id.0).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let runs: Vec<i32> = tasks.map(|task| int4(task.run)).collect();
    let rows: Vec<(Uuid, String)> = sqlx::query_as(
        "SELECT checkpoints.task_id, checkpoints.content
        FROM UNNEST($1::uuid[], $2::integer[]) AS asked (task_id, run)
        JOIN checkpoints ON checkpoints.task_id = asked.task_id AND checkpoints.run = asked.run",
    )
    .bind(&ids)
    .bind(&runs)
    .fetch_all(connection)
    .await?;
    let kept = rows
        .into_iter()
        .map(|(task, content)| (TaskId(task), JsonText::trusted(content)));
    Ok(kept.collect())
}

/// A claim, with its task if that is still held.
#[derive(Debug, FromRow)]
struct HeldRow {
    task_id: Uuid,
    attempt: Option<i32>,
    run: Option<i32>,
    name: Option<String>,
    target: Option<String>,
    input: Option<String>,
    limits: Option<String>,
    timeout_ms: Option<i64>,
    expires_at: Option<Time>,
    trace_parent: Option<String>,
    request_id: Option<String>,
    started_at: Option<Time>,
    lease_expires_at: Time,
}

impl HeldRow {
    fn into_task(self) -> Result<Option<(ClaimedTask, Timestamp)>, Error> {
        if self.attempt.is_none() {
            return Ok(None);
        }
        let place = Place {
            table: "tasks",
            row: &self.task_id,
        };
        let started_at = timestamp(place.present("started_at", self.started_at)?);
        let row: ClaimedRow = (
            self.task_id,
            self.attempt,
            self.run,
            self.name,
            self.target,
            self.input,
            self.limits,
            self.timeout_ms,
            self.expires_at,
            self.trace_parent,
            self.request_id,
            // Nobody goes on with what follows: it is for workers of our own to say.
            None,
            None,
        );
        let task = claimed(row, started_at)?;
        Ok(task.map(|task| (task, timestamp(self.lease_expires_at))))
    }
}
