//! External workers.

mod claim;
mod heartbeat;

use async_trait::async_trait;
use orchestratum_core::{Target, TaskId, TaskName, Timestamp, WorkerId};
use uuid::Uuid;

use super::PostgresStore;
use super::database::AfterUnknown;
use super::queues::bucket;
use super::rows::{Place, Time, int4, int8, time};
use crate::{
    AttemptHolder, Beaten, EndedLease, Error, ExternalClaim, ExternalStore, ExternallyClaimed, Heartbeat, Offer,
};

#[async_trait]
impl ExternalStore for PostgresStore {
    async fn claim_external(&self, claim: &ExternalClaim, now: Timestamp) -> Result<ExternallyClaimed, Error> {
        claim::claim(&self.database, claim, now).await
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat, now: Timestamp) -> Result<Option<Beaten>, Error> {
        heartbeat::heartbeat(&self.database, heartbeat, now).await
    }

    async fn holders(&self, attempts: &[(TaskId, u32)]) -> Result<Vec<AttemptHolder>, Error> {
        let tasks: Vec<Uuid> = attempts.iter().map(|(task, _)| task.0).collect();
        let numbers: Vec<i32> = attempts.iter().map(|(_, attempt)| int4(*attempt)).collect();
        let rows: Vec<(Uuid, i32, i32, Option<String>, bool)> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT
                        asked.task_id, asked.attempt, tasks.attempt, workers.key_id,
                        made.worker_id IS NOT NULL AND workers.id IS NULL
                    FROM UNNEST($1::uuid[], $2::integer[]) AS asked (task_id, attempt)
                    JOIN tasks ON tasks.id = asked.task_id
                    -- The newest attempt is in the task, also after its end.
                    LEFT JOIN attempts
                        ON attempts.task_id = asked.task_id
                        AND attempts.attempt = asked.attempt
                        AND tasks.attempt <> asked.attempt
                    CROSS JOIN LATERAL (
                        SELECT CASE tasks.attempt
                            WHEN asked.attempt THEN tasks.worker_id ELSE attempts.worker_id
                        END AS worker_id
                    ) AS made
                    LEFT JOIN workers ON workers.id = made.worker_id",
                )
                .bind(&tasks)
                .bind(&numbers)
            })
            .await?;
        rows.into_iter()
            .map(|(task, attempt, newest, key_id, is_forgotten)| {
                let place = Place {
                    table: "tasks",
                    row: &task,
                };
                Ok(AttemptHolder {
                    task: TaskId(task),
                    attempt: place.number("attempt", attempt)?,
                    newest: place.number("attempt", newest)?,
                    key_id,
                    is_forgotten,
                })
            })
            .collect()
    }

    async fn claimable(&self, offers: &[Offer], most: usize, now: Timestamp) -> Result<Vec<(Offer, usize)>, Error> {
        let targets: Vec<&str> = offers.iter().map(|offer| offer.target.as_str()).collect();
        let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
        let rows: Vec<ClaimableRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT offered.name, ready.tasks, offered.target, rate_limit, per_ms, burst, spent_until
                    FROM UNNEST($1::text[], $2::text[]) AS offered (target, name)
                    CROSS JOIN LATERAL (
                        SELECT count(*) AS tasks
                        FROM (
                            SELECT FROM dispatches
                            WHERE dispatches.target = offered.target
                              AND dispatches.name = offered.name
                              AND state = 0
                              AND due_at <= $4
                              -- No index may serve this condition, see the claim.
                              AND expires_at - $4 > INTERVAL '0'
                            ORDER BY priority DESC, due_at
                            LIMIT $3
                        ) AS first
                    ) AS ready
                    LEFT JOIN target_rates ON target_rates.target = offered.target
                    WHERE ready.tasks > 0
                      AND NOT EXISTS (SELECT FROM paused_targets WHERE paused_targets.target = offered.target)",
                )
                .bind(&targets)
                .bind(&names)
                .bind(int8(most))
                .bind(time(now))
            })
            .await?;
        let claimable = rows.into_iter().map(|row| claimable(row, most, now));
        let claimable = claimable.collect::<Result<Vec<_>, Error>>()?;
        Ok(claimable.into_iter().filter(|(_, tasks)| *tasks > 0).collect())
    }

    async fn ended_leases(&self, now: Timestamp, limit: usize) -> Result<Vec<EndedLease>, Error> {
        let rows: Vec<(Uuid, Uuid, i32, bool)> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT held.task_id, held.worker_id, held.attempt, COALESCE(held.ends_at <= $1, false)
                    FROM external_claims AS held
                    JOIN tasks
                        ON tasks.id = held.task_id
                        AND tasks.status = 1
                        AND tasks.attempt = held.attempt
                        AND tasks.worker_id = held.worker_id
                    WHERE held.lease_expires_at <= $1
                    ORDER BY held.lease_expires_at
                    LIMIT $2",
                )
                .bind(time(now))
                .bind(int8(limit))
            })
            .await?;
        rows.into_iter()
            .map(|(task, worker, attempt, timed_out)| {
                let place = Place {
                    table: "external_claims",
                    row: &task,
                };
                Ok(EndedLease {
                    task: TaskId(task),
                    worker: WorkerId(worker),
                    attempt: place.number("attempt", attempt)?,
                    timed_out,
                })
            })
            .collect()
    }

    async fn purge_claims(&self, now: Timestamp, limit: usize) -> Result<u64, Error> {
        let (purged,): (i64,) = self
            .database
            .one(|| sqlx::query_as(PURGE_CLAIMS).bind(time(now)).bind(int8(limit)))
            .await?;
        Ok(u64::try_from(purged).unwrap_or(0))
    }
}

type ClaimableRow = (String, i64, String, Option<i32>, Option<i64>, Option<i32>, Option<Time>);

/// No more than the target has starts, if it has a rate: nobody is to be woken for the others.
fn claimable(row: ClaimableRow, most: usize, now: Timestamp) -> Result<(Offer, usize), Error> {
    let (name, tasks, target, limit, per_ms, burst, spent_until) = row;
    let place = Place {
        table: "dispatches",
        row: &"(ready)",
    };
    let starts = match (limit, per_ms, burst, spent_until) {
        (Some(limit), Some(per_ms), Some(burst), Some(spent_until)) => {
            let (_, bucket) = bucket((target.clone(), limit, per_ms, burst, spent_until))?;
            usize::try_from(bucket.available(now)).unwrap_or(usize::MAX)
        }
        _ => most,
    };
    let offer = Offer {
        target: place.take("target", Target::new(target))?,
        name: place.take("name", TaskName::new(name))?,
    };
    Ok((offer, place.number::<_, usize>("tasks", tasks)?.min(starts)))
}

const PURGE_CLAIMS: &str = "
    WITH stale AS MATERIALIZED (
        SELECT task_id
        FROM external_claims
        WHERE lease_expires_at <= $1
          AND NOT EXISTS (
            SELECT FROM tasks
            WHERE tasks.id = external_claims.task_id
              AND tasks.status = 1
              AND tasks.attempt = external_claims.attempt
              AND tasks.worker_id = external_claims.worker_id
          )
        ORDER BY lease_expires_at
        LIMIT $2
        -- One that is claimed again meanwhile has another lease.
        FOR UPDATE SKIP LOCKED
    ),
    claim AS (
        DELETE FROM external_claims WHERE task_id = ANY(ARRAY(SELECT task_id FROM stale))
    ),
    checkpoint AS (
        DELETE FROM checkpoints
        WHERE task_id = ANY(ARRAY(SELECT task_id FROM stale))
          AND NOT EXISTS (SELECT FROM tasks WHERE tasks.id = checkpoints.task_id AND tasks.status < 2)
    )
    SELECT count(*) FROM stale";
