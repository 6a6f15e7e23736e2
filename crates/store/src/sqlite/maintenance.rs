//! The schema, the clock, retention and signals.

use std::sync::LazyLock;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::migrate::Migrator;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::clock::database_time;
use super::error::sql;
use super::rows::{id_list, signed};
use super::sagas::{purge_candidates, purge_sagas};
use super::tasks::delete_rows;
use super::{SqliteStore, invariants};
use crate::decide::purge_ends_at;
use crate::{BrokenInvariant, Error, Maintenance, RecordsBefore};

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../../migrations/sqlite");
    // A newer program was here: what it added does not stop an older one.
    migrator.set_ignore_missing(true);
    migrator
});

#[async_trait]
impl Maintenance for SqliteStore {
    async fn migrate(&self) -> Result<(), Error> {
        // One write connection, one owner process: two migrators come one after the other.
        MIGRATOR.run(&self.write).await.map_err(Error::Migration)
    }

    async fn check_schema(&self) -> Result<(), Error> {
        let needed = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
        let tracked: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
                .fetch_one(&self.read)
                .await
                .map_err(sql)?;
        let found: i64 = if tracked {
            sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.read)
                .await
                .map_err(sql)?
        } else {
            0
        };
        if found >= needed {
            Ok(())
        } else {
            Err(Error::SchemaVersion { found, needed })
        }
    }

    async fn database_time(&self) -> Result<Timestamp, Error> {
        database_time(&self.read, self.clock.as_ref()).await
    }

    async fn purge_finished(&self, before: Timestamp, limit: usize) -> Result<u64, Error> {
        // Looking for them does not hold up the writer.
        let candidates: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id
             FROM tasks
             WHERE id < ?1
               AND finished_at < ?2
               -- What comes after their group is to see them.
               AND (group_id IS NULL OR NOT EXISTS (
                   SELECT 1 FROM task_groups g WHERE g.id = tasks.group_id AND g.status < 3
               ))
               -- They belong to what is told of their saga.
               AND (saga_id IS NULL OR NOT EXISTS (
                   SELECT 1 FROM sagas s WHERE s.id = tasks.saga_id AND s.status < 5
               ))
             ORDER BY id
             LIMIT ?3",
        )
        .bind(purge_ends_at(before))
        .bind(before.as_micros())
        .bind(signed(limit))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        let groups: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM task_groups WHERE id < ?1 AND finished_at < ?2 ORDER BY id LIMIT ?3")
                .bind(purge_ends_at(before))
                .bind(before.as_micros())
                .bind(signed(limit))
                .fetch_all(&self.read)
                .await
                .map_err(sql)?;
        let sagas = purge_candidates(self, before, limit).await?;
        if candidates.is_empty() && groups.is_empty() && sagas.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.begin().await?;
        // Again under the lock: one of them may have been retried since.
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id
             FROM tasks
             WHERE id IN (SELECT unhex(value) FROM json_each(?1))
               AND finished_at < ?2",
        )
        .bind(id_list(candidates.into_iter().map(TaskId)))
        .bind(before.as_micros())
        .fetch_all(&mut *transaction)
        .await
        .map_err(sql)?;
        let ids: Vec<TaskId> = ids.into_iter().map(TaskId).collect();
        delete_rows(&mut transaction, &ids).await?;
        // What is over stays over.
        let groups = groups.into_iter().map(TaskId);
        let gone = sqlx::query("DELETE FROM task_groups WHERE id IN (SELECT unhex(value) FROM json_each(?1))")
            .bind(id_list(groups))
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
        let gone = gone.rows_affected() + purge_sagas(&mut transaction, &sagas).await?;
        transaction.commit().await.map_err(sql)?;
        Ok(ids.len() as u64 + gone)
    }

    async fn purge_records(&self, before: &RecordsBefore, limit: usize) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        let mut purged = 0;
        for (statement, before) in [
            (
                "DELETE FROM idempotency_keys WHERE rowid IN (
                     SELECT rowid FROM idempotency_keys WHERE created_at < ?1 ORDER BY created_at LIMIT ?2
                 )",
                before.idempotency_keys,
            ),
            (
                "DELETE FROM task_changes WHERE id IN (
                     SELECT id FROM task_changes WHERE changed_at < ?1 ORDER BY id LIMIT ?2
                 )",
                before.others,
            ),
            (
                // Of parents that went at the same moment as what followed them.
                "DELETE FROM missing_follow_ups WHERE parent_id IN (
                     SELECT m.parent_id
                     FROM missing_follow_ups m
                     WHERE m.missing_since < ?1
                       AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = m.parent_id)
                     LIMIT ?2
                 )",
                before.others,
            ),
            (
                // Full again for long.
                "DELETE FROM rate_keys WHERE key IN (
                     SELECT key FROM rate_keys WHERE waiting = 0 AND spent_until < ?1 LIMIT ?2
                 )",
                before.others,
            ),
            (
                "DELETE FROM workers WHERE id IN (
                     SELECT w.id
                     FROM workers w
                     WHERE w.state <> 0
                       AND w.key_id IS NULL
                       AND w.lease_expires_at < ?1
                       AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.status = 1 AND t.worker_id = w.id)
                     ORDER BY w.id
                     LIMIT ?2
                 )",
                before.others,
            ),
            (
                "DELETE FROM workers WHERE id IN (
                     SELECT w.id
                     FROM workers w
                     WHERE w.state <> 0
                       AND w.key_id IS NOT NULL
                       AND w.lease_expires_at < ?1
                       AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.status = 1 AND t.worker_id = w.id)
                     ORDER BY w.id
                     LIMIT ?2
                 )",
                before.external_workers,
            ),
        ] {
            purged += sqlx::query(statement)
                .bind(before.as_micros())
                .bind(signed(limit))
                .execute(&mut *transaction)
                .await
                .map_err(sql)?
                .rows_affected();
        }
        transaction.commit().await.map_err(sql)?;
        Ok(purged)
    }

    async fn broken_invariants(&self, now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, Error> {
        invariants::broken(&self.read, now, limit).await
    }

    async fn signal(&self, payload: &str) -> Result<(), Error> {
        // Nobody listening is fine: a signal may get lost.
        let _ = self.signals.send(payload.to_owned());
        Ok(())
    }

    async fn signals(&self) -> Result<BoxStream<'static, String>, Error> {
        let receiver = self.signals.subscribe();
        Ok(stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(payload) => return Some((payload, receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed())
    }

    async fn close(&self) {
        self.shut().await;
    }
}
