//! External workers.

mod claim;
mod heartbeat;

use async_trait::async_trait;
use orchestratum_core::{TaskId, Timestamp};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::SqliteStore;
use super::error::sql;
use super::queues::bucket;
use super::rows::{Hex, get, id_list, json, number, running_attempt, signed, task_id, word};
use crate::{
    AttemptHolder, Beaten, EndedLease, Error, ExternalClaim, ExternalStore, ExternallyClaimed, Heartbeat, Offer,
};

#[async_trait]
impl ExternalStore for SqliteStore {
    async fn claim_external(&self, claim: &ExternalClaim, now: Timestamp) -> Result<ExternallyClaimed, Error> {
        claim::claim(self, claim, now).await
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat, now: Timestamp) -> Result<Option<Beaten>, Error> {
        heartbeat::heartbeat(self, heartbeat, now).await
    }

    async fn holders(&self, attempts: &[(TaskId, u32)]) -> Result<Vec<AttemptHolder>, Error> {
        let asked: Vec<(Hex, u32)> = attempts.iter().map(|(id, attempt)| (Hex(id.0), *attempt)).collect();
        let rows = sqlx::query(
            "SELECT
                 t.id, a.value ->> 1 AS attempt, t.attempt AS newest, w.key_id,
                 w.id IS NULL AND iif(t.attempt = a.value ->> 1, t.worker_id, e.worker_id) IS NOT NULL AS is_forgotten
             FROM json_each(?1) a
             CROSS JOIN tasks t ON t.id = unhex(a.value ->> 0)
             -- The newest attempt is in the task, also after its end.
             LEFT JOIN attempts e ON e.task_id = t.id AND e.attempt = a.value ->> 1 AND t.attempt <> a.value ->> 1
             LEFT JOIN workers w ON w.id = iif(t.attempt = a.value ->> 1, t.worker_id, e.worker_id)",
        )
        .bind(json(&asked))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter()
            .map(|row| {
                let task = task_id(row, "id")?;
                Ok(AttemptHolder {
                    task,
                    attempt: number(row, "tasks", "attempt", task)?,
                    newest: number(row, "tasks", "newest", task)?,
                    key_id: get(row, "key_id")?,
                    is_forgotten: get(row, "is_forgotten")?,
                })
            })
            .collect()
    }

    async fn claimable(&self, offers: &[Offer], most: usize, now: Timestamp) -> Result<Vec<(Offer, usize)>, Error> {
        let offered: Vec<(&str, &str)> = offers
            .iter()
            .map(|offer| (offer.target.as_str(), offer.name.as_str()))
            .collect();
        let rows = sqlx::query(
            "SELECT r.target, r.name, r.ready, t.rate_limit, t.per_ms, t.burst, t.spent_until
             FROM (
                 SELECT
                     o.value ->> 0 AS target,
                     o.value ->> 1 AS name,
                     (
                         SELECT count(*)
                         FROM (
                             SELECT 1
                             FROM dispatches d INDEXED BY dispatches_ready
                             WHERE d.target = o.value ->> 0
                               AND d.name = o.value ->> 1
                               AND d.state = 0
                               AND d.due_at <= ?3
                               AND d.expires_at > ?3
                             LIMIT ?2
                         )
                     ) AS ready
                 FROM json_each(?1) o
                 WHERE o.value ->> 0 NOT IN (SELECT target FROM paused_targets)
             ) r
             LEFT JOIN target_rates t ON t.target = r.target
             WHERE r.ready > 0",
        )
        .bind(json(&offered))
        .bind(signed(most))
        .bind(now.as_micros())
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        let claimable = rows.iter().map(|row| claimable(row, most, now));
        let claimable = claimable.collect::<Result<Vec<_>, Error>>()?;
        Ok(claimable.into_iter().filter(|(_, tasks)| *tasks > 0).collect())
    }

    async fn ended_leases(&self, now: Timestamp, limit: usize) -> Result<Vec<EndedLease>, Error> {
        let rows = sqlx::query(
            "SELECT t.id, t.worker_id, t.attempt, coalesce(c.ends_at <= ?1, 0) AS timed_out
             FROM external_claims c
             CROSS JOIN tasks t
                 ON t.id = c.task_id AND +t.status = 1 AND t.attempt = c.attempt AND t.worker_id = c.worker_id
             WHERE c.lease_expires_at <= ?1
             ORDER BY c.lease_expires_at
             LIMIT ?2",
        )
        .bind(now.as_micros())
        .bind(signed(limit))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter()
            .map(|row| {
                let (task, worker, attempt) = running_attempt(row)?;
                Ok(EndedLease {
                    task,
                    worker,
                    attempt,
                    timed_out: get(row, "timed_out")?,
                })
            })
            .collect()
    }

    async fn purge_claims(&self, now: Timestamp, limit: usize) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        let stale: Vec<Uuid> = sqlx::query_scalar(
            "DELETE FROM external_claims
             WHERE task_id IN (
                 SELECT c.task_id
                 FROM external_claims c
                 WHERE c.lease_expires_at <= ?1
                   AND NOT EXISTS (
                       SELECT 1
                       FROM tasks t
                       WHERE t.id = c.task_id AND +t.status = 1 AND t.attempt = c.attempt AND t.worker_id = c.worker_id
                   )
                 ORDER BY c.lease_expires_at
                 LIMIT ?2
             )
             RETURNING task_id",
        )
        .bind(now.as_micros())
        .bind(signed(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(sql)?;
        if stale.is_empty() {
            return Ok(0);
        }
        sqlx::query(
            "DELETE FROM checkpoints
             WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))
               AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = checkpoints.task_id AND +t.status < 2)",
        )
        .bind(id_list(stale.iter().copied().map(TaskId)))
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
        transaction.commit().await.map_err(sql)?;
        Ok(stale.len() as u64)
    }
}

/// No more than the target has starts, if it has a rate: nobody is to be woken for the others.
fn claimable(row: &SqliteRow, most: usize, now: Timestamp) -> Result<(Offer, usize), Error> {
    let starts = match get::<Option<i64>>(row, "rate_limit")? {
        Some(_) => usize::try_from(bucket(row)?.1.available(now)).unwrap_or(usize::MAX),
        None => most,
    };
    let offer = Offer {
        target: word(row, "dispatches", "target", "(ready)")?,
        name: word(row, "dispatches", "name", "(ready)")?,
    };
    let ready: usize = number(row, "dispatches", "ready", "(ready)")?;
    Ok((offer, ready.min(starts)))
}
