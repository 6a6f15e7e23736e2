//! Targets as queues.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::task::{Bucket, TargetRate};
use orchestratum_core::{Target, Timestamp};
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::error::sql;
use super::rows::{get, maybe_timestamp, milliseconds, number, signed, timestamp, word};
use super::tasks::insert_audit;
use crate::{Audit, Error, Queue, QueueStore};

#[async_trait]
impl QueueStore for SqliteStore {
    async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let rows = sqlx::query(
            "WITH
             waiting AS (
                 SELECT
                     target,
                     count(*) AS depth,
                     count(*) FILTER (WHERE state = 0) AS ready,
                     min(due_at) FILTER (WHERE state = 0) AS oldest_due_at
                 FROM dispatches
                 GROUP BY target
             ),
             running AS (SELECT target, count(*) AS running FROM tasks WHERE status = 1 GROUP BY target),
             served AS (SELECT value AS target FROM workers, json_each(workers.targets) WHERE workers.state = 0),
             known AS (
                 SELECT target FROM waiting
                 UNION SELECT target FROM running
                 UNION SELECT target FROM served
                 UNION SELECT target FROM paused_targets
                 UNION SELECT target FROM target_rates
             )
             SELECT
                 k.target,
                 coalesce(w.depth, 0) AS depth,
                 coalesce(w.ready, 0) AS ready,
                 coalesce(r.running, 0) AS running,
                 k.target IN (SELECT target FROM paused_targets) AS paused,
                 w.oldest_due_at,
                 l.rate_limit,
                 l.per_ms,
                 l.burst
             FROM known k
             LEFT JOIN waiting w ON w.target = k.target
             LEFT JOIN running r ON r.target = k.target
             LEFT JOIN target_rates l ON l.target = k.target
             ORDER BY k.target",
        )
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter()
            .map(|row| {
                let target: Target = word(row, "dispatches", "target", "(queue)")?;
                Ok(Queue {
                    depth: number(row, "dispatches", "depth", &target)?,
                    ready: number(row, "dispatches", "ready", &target)?,
                    running: number(row, "tasks", "running", &target)?,
                    paused: get(row, "paused")?,
                    rate: rate(row, &target)?,
                    oldest_due_at: maybe_timestamp(row, "oldest_due_at")?,
                    target,
                })
            })
            .collect()
    }

    async fn ready(&self, target: &Target, most: usize) -> Result<u64, Error> {
        let row = sqlx::query(
            "SELECT count(*) AS ready
             FROM (
                 SELECT 1 FROM dispatches INDEXED BY dispatches_ready WHERE target = ?1 AND state = 0 LIMIT ?2
             )",
        )
        .bind(target.as_str())
        .bind(signed(most))
        .fetch_one(&self.read)
        .await
        .map_err(sql)?;
        number(&row, "dispatches", "ready", target)
    }

    async fn set_paused(&self, target: &Target, paused: bool, audit: &Audit, now: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        let statement = if paused {
            "INSERT INTO paused_targets (target) VALUES (?1) ON CONFLICT (target) DO NOTHING"
        } else {
            "DELETE FROM paused_targets WHERE target = ?1"
        };
        sqlx::query(statement)
            .bind(target.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
        insert_audit(&mut transaction, None, &audit.about(target.as_str()), now).await?;
        transaction.commit().await.map_err(sql)
    }

    async fn is_paused(&self, target: &Target) -> Result<bool, Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM paused_targets WHERE target = ?1)")
            .bind(target.as_str())
            .fetch_one(&self.read)
            .await
            .map_err(sql)
    }

    async fn set_rate(
        &self,
        target: &Target,
        rate: Option<TargetRate>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        let query = match rate {
            Some(TargetRate { limit, per, burst }) => sqlx::query(
                "INSERT INTO target_rates (target, rate_limit, per_ms, burst, spent_until)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 -- What was taken stays taken.
                 ON CONFLICT (target) DO UPDATE
                 SET rate_limit = excluded.rate_limit, per_ms = excluded.per_ms, burst = excluded.burst",
            )
            .bind(target.as_str())
            .bind(limit)
            .bind(milliseconds(per))
            .bind(burst)
            .bind(now.as_micros()),
            None => sqlx::query("DELETE FROM target_rates WHERE target = ?1").bind(target.as_str()),
        };
        query.execute(&mut *transaction).await.map_err(sql)?;
        insert_audit(&mut transaction, None, &audit.about(target.as_str()), now).await?;
        transaction.commit().await.map_err(sql)?;
        self.rated.forget();
        Ok(())
    }

    async fn rate(&self, target: &Target) -> Result<Option<Bucket>, Error> {
        let row =
            sqlx::query("SELECT target, rate_limit, per_ms, burst, spent_until FROM target_rates WHERE target = ?1")
                .bind(target.as_str())
                .fetch_optional(&self.read)
                .await
                .map_err(sql)?;
        row.map(|row| Ok(bucket(&row)?.1)).transpose()
    }

    async fn rated_targets(&self) -> Result<Vec<(Target, Bucket)>, Error> {
        let rows = sqlx::query(
            "SELECT target, rate_limit, per_ms, burst, spent_until
             FROM target_rates r
             WHERE EXISTS (SELECT 1 FROM dispatches d WHERE d.target = r.target AND d.state = 0)
               AND r.target NOT IN (SELECT target FROM paused_targets)
             ORDER BY target",
        )
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter().map(bucket).collect()
    }
}

/// Of a queue, if it has one.
fn rate(row: &SqliteRow, target: &Target) -> Result<Option<TargetRate>, Error> {
    if get::<Option<i64>>(row, "rate_limit")?.is_none() {
        return Ok(None);
    }
    Ok(Some(TargetRate {
        limit: number(row, "target_rates", "rate_limit", target)?,
        per: Duration::from_millis(number(row, "target_rates", "per_ms", target)?),
        burst: number(row, "target_rates", "burst", target)?,
    }))
}

/// A row of `target_rates`.
pub(super) fn bucket(row: &SqliteRow) -> Result<(Target, Bucket), Error> {
    let target: Target = word(row, "target_rates", "target", "(rate)")?;
    let bucket = Bucket {
        limit: number(row, "target_rates", "rate_limit", &target)?,
        per: Duration::from_millis(number(row, "target_rates", "per_ms", &target)?),
        burst: number(row, "target_rates", "burst", &target)?,
        spent_until: timestamp(row, "spent_until")?,
    };
    Ok((target, bucket))
}
