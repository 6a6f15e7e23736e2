//! The schema, the clock, retention and signals.

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::error::sql;
use super::rows::signed;
use super::tasks::delete_rows;
use super::{SqliteStore, invariants};
use crate::{BrokenInvariant, Error, Maintenance};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// The time by the clock of the host: SQLite has no other.
pub(super) async fn database_time(pool: &SqlitePool) -> Result<Timestamp, Error> {
    let micros: i64 = sqlx::query_scalar("SELECT CAST(round(unixepoch('now', 'subsec') * 1000.0) AS INTEGER) * 1000")
        .fetch_one(pool)
        .await
        .map_err(sql)?;
    Ok(Timestamp::from_micros(micros))
}

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
        if found == needed {
            Ok(())
        } else {
            Err(Error::SchemaVersion { found, needed })
        }
    }

    async fn database_time(&self) -> Result<Timestamp, Error> {
        database_time(&self.read).await
    }

    async fn purge_finished(&self, before: Timestamp, limit: usize) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        // By id, that is by age: a task that finished in time was created in time, so the scan ends early.
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id
             FROM tasks
             WHERE finished_at < ?1
             ORDER BY id
             LIMIT ?2",
        )
        .bind(before.as_micros())
        .bind(signed(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(sql)?;
        let ids: Vec<TaskId> = ids.into_iter().map(TaskId).collect();
        delete_rows(&mut transaction, &ids).await?;
        transaction.commit().await.map_err(sql)?;
        Ok(ids.len() as u64)
    }

    async fn purge_records(
        &self,
        keys_before: Timestamp,
        records_before: Timestamp,
        limit: usize,
    ) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        let mut purged = 0;
        for (statement, before) in [
            (
                "DELETE FROM idempotency_keys WHERE rowid IN (
                     SELECT rowid FROM idempotency_keys WHERE created_at < ?1 ORDER BY created_at LIMIT ?2
                 )",
                keys_before,
            ),
            (
                "DELETE FROM task_changes WHERE id IN (
                     SELECT id FROM task_changes WHERE changed_at < ?1 ORDER BY id LIMIT ?2
                 )",
                records_before,
            ),
            (
                "DELETE FROM workers WHERE id IN (
                     SELECT w.id
                     FROM workers w
                     WHERE w.state <> 0
                       AND w.lease_expires_at < ?1
                       AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.status = 1 AND t.worker_id = w.id)
                     ORDER BY w.id
                     LIMIT ?2
                 )",
                records_before,
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
