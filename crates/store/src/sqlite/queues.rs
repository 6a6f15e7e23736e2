//! Targets as queues.

use async_trait::async_trait;
use orchestratum_core::{Target, Timestamp};

use super::SqliteStore;
use super::error::sql;
use super::rows::{get, maybe_timestamp, number, signed, word};
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
             )
             SELECT
                 k.target,
                 coalesce(w.depth, 0) AS depth,
                 coalesce(w.ready, 0) AS ready,
                 coalesce(r.running, 0) AS running,
                 k.target IN (SELECT target FROM paused_targets) AS paused,
                 w.oldest_due_at
             FROM known k
             LEFT JOIN waiting w ON w.target = k.target
             LEFT JOIN running r ON r.target = k.target
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
        let named = Audit {
            detail: Some(audit.detail.clone().unwrap_or_else(|| target.to_string())),
            ..audit.clone()
        };
        insert_audit(&mut transaction, None, &named, now).await?;
        transaction.commit().await.map_err(sql)
    }

    async fn is_paused(&self, target: &Target) -> Result<bool, Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM paused_targets WHERE target = ?1)")
            .bind(target.as_str())
            .fetch_one(&self.read)
            .await
            .map_err(sql)
    }
}
