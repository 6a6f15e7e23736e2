//! The schema, the clock, retention and signals.

use std::sync::LazyLock;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use orchestratum_core::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use super::rows::{Time, int8, time, timestamp};
use super::sagas::purge_sagas;
use super::transaction::{Abort, Transaction};
use super::{PostgresStore, failure, invariants};
use crate::decide::purge_ends_at;
use crate::{BrokenInvariant, Error, Maintenance, RecordsBefore};

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../../migrations/postgres");
    // A newer program was here: what it added does not stop an older one.
    migrator.set_ignore_missing(true);
    migrator
});

/// How long a migration may take, and how long one waits for another process that is migrating.
const MIGRATION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

#[async_trait]
impl Maintenance for PostgresStore {
    async fn migrate(&self) -> Result<(), Error> {
        let migrated = timeout(MIGRATION_TIMEOUT, self.migrate_in_any_time()).await;
        migrated.unwrap_or_else(|_| {
            let server = self.database.server.with_patience(MIGRATION_TIMEOUT);
            Err(failure::error(server.silent()))
        })
    }

    async fn check_schema(&self) -> Result<(), Error> {
        let needed = needed_version();
        let found = self.schema_version().await?;
        if found >= needed {
            Ok(())
        } else {
            Err(Error::SchemaVersion { found, needed })
        }
    }

    async fn database_time(&self) -> Result<Timestamp, Error> {
        let (now,): (Time,) = self.database.one(|| sqlx::query_as("SELECT clock_timestamp()")).await?;
        Ok(timestamp(now))
    }

    async fn purge_finished(&self, before: Timestamp, limit: usize) -> Result<u64, Error> {
        self.database.transact(PurgeFinished { before, limit }).await
    }

    async fn purge_records(&self, before: &RecordsBefore, limit: usize) -> Result<u64, Error> {
        self.database
            .execute(|| {
                sqlx::query(PURGE_RECORDS)
                    .bind(time(before.idempotency_keys))
                    .bind(time(before.others))
                    .bind(int8(limit))
                    .bind(time(before.external_workers))
            })
            .await
    }

    async fn broken_invariants(&self, now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, Error> {
        invariants::broken(&self.database, now, limit).await
    }

    async fn signal(&self, payload: &str) -> Result<(), Error> {
        self.database
            .execute(|| {
                sqlx::query("SELECT pg_notify($1, $2)")
                    .bind(&*self.database.schema)
                    .bind(payload)
            })
            .await?;
        Ok(())
    }

    async fn signals(&self) -> Result<BoxStream<'static, String>, Error> {
        // A pool of its own: in the common one a connection would be missing for as long as someone listens.
        let connect = self.database.connect.clone();
        let channel = self.database.schema.clone();
        let listening = self.database.server.in_time(async move {
            let pool = PgPoolOptions::new().max_connections(1).connect_with(connect).await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(&channel).await?;
            Ok::<_, sqlx::Error>(listener)
        });
        let listener = listening
            .await
            .map_err(|error| failure::error(self.database.server.unreached(error)))?;
        let closed = self.database.pool.close_event();
        Ok(try_unfold(listener, |mut listener| async move {
            // `None` says that the connection broke and signals may be lost: the stream ends, and the caller asks again.
            let notification = listener.try_recv().await?;
            Ok::<_, sqlx::Error>(notification.map(|notification| (notification.payload().to_owned(), listener)))
        })
        .take_while(|signal| std::future::ready(signal.is_ok()))
        .filter_map(|signal| std::future::ready(signal.ok()))
        .take_until(closed)
        .boxed())
    }

    async fn close(&self) {
        self.database.pool.close().await;
    }
}

fn needed_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

impl PostgresStore {
    async fn migrate_in_any_time(&self) -> Result<(), Error> {
        // Waiting for another migrator, and building an index, may take longer than any other statement.
        let connect = self
            .database
            .connect
            .clone()
            .options([("lock_timeout", "0"), ("statement_timeout", "0")]);
        let mut connection = connect.connect().await.map_err(failure::error)?;
        create_schema(&mut connection, &self.database.schema)
            .await
            .map_err(failure::error)?;
        MIGRATIONS
            .run_direct(None, &mut connection, false)
            .await
            .map_err(Error::Migration)?;
        // What is left of the connection goes away with it.
        connection.close().await.map_err(failure::error)
    }

    /// 0 where nothing was ever migrated.
    async fn schema_version(&self) -> Result<i64, Error> {
        let (migrated,): (bool,) = self
            .database
            .one(|| sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL"))
            .await?;
        if !migrated {
            return Ok(0);
        }
        let (version,): (i64,) = self
            .database
            .one(|| sqlx::query_as("SELECT COALESCE(max(version), 0) FROM _sqlx_migrations WHERE success"))
            .await?;
        Ok(version)
    }
}

/// `IF NOT EXISTS` looks before it creates, so two that look at the same time collide: one at a time.
async fn create_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('orchestratum.create_schema', 0))")
        .execute(&mut *transaction)
        .await?;
    // `connect` lets nothing but a plain identifier through.
    let statement = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
    transaction.commit().await
}

struct PurgeFinished {
    before: Timestamp,
    limit: usize,
}

impl Transaction for PurgeFinished {
    type Output = u64;

    async fn perform(&self, connection: &mut PgConnection) -> Result<u64, Abort> {
        let ids: Vec<(Uuid,)> = sqlx::query_as(
            "SELECT id
            FROM tasks
            WHERE id < $2 AND status >= 2 AND finished_at < $1
              -- What comes after their group is to see them.
              AND (
                  group_id IS NULL
                  OR NOT EXISTS (SELECT FROM task_groups WHERE task_groups.id = tasks.group_id AND task_groups.status < 3)
              )
              -- They belong to what is told of their saga.
              AND (
                  saga_id IS NULL
                  OR NOT EXISTS (SELECT FROM sagas WHERE sagas.id = tasks.saga_id AND sagas.status < 5)
              )
            ORDER BY id
            LIMIT $3
            FOR UPDATE SKIP LOCKED",
        )
        .bind(time(self.before))
        .bind(purge_ends_at(self.before))
        .bind(int8(self.limit))
        .fetch_all(&mut *connection)
        .await?;
        let ids: Vec<Uuid> = ids.into_iter().map(|(id,)| id).collect();
        sqlx::query(
            "WITH attempt AS (DELETE FROM attempts WHERE task_id = ANY($1)),
            log AS (DELETE FROM task_logs WHERE task_id = ANY($1)),
            missing AS (DELETE FROM missing_follow_ups WHERE parent_id = ANY($1)),
            likeness AS (DELETE FROM unique_keys WHERE task_id = ANY($1)),
            checkpoint AS (DELETE FROM checkpoints WHERE task_id = ANY($1)),
            claim AS (DELETE FROM external_claims WHERE task_id = ANY($1))
            DELETE FROM tasks WHERE id = ANY($1)",
        )
        .bind(&ids)
        .execute(&mut *connection)
        .await?;
        let groups = sqlx::query(
            "DELETE FROM task_groups
            WHERE id IN (SELECT id FROM task_groups WHERE id < $2 AND finished_at < $1 ORDER BY id LIMIT $3)",
        )
        .bind(time(self.before))
        .bind(purge_ends_at(self.before))
        .bind(int8(self.limit))
        .execute(&mut *connection)
        .await?;
        let sagas = purge_sagas(connection, self.before, self.limit).await?;
        Ok(ids.len() as u64 + groups.rows_affected() + sagas)
    }
}

const PURGE_RECORDS: &str = "
    WITH key AS (
        DELETE FROM idempotency_keys
        WHERE (scope, key) IN (SELECT scope, key FROM idempotency_keys WHERE created_at < $1 LIMIT $3)
        RETURNING 1
    ),
    change AS (
        DELETE FROM task_changes
        WHERE id IN (SELECT id FROM task_changes WHERE changed_at < $2 ORDER BY id LIMIT $3)
        RETURNING 1
    ),
    missing AS (
        -- Of parents that went at the same moment as what followed them.
        DELETE FROM missing_follow_ups
        WHERE ctid IN (
            SELECT ctid FROM missing_follow_ups
            WHERE missing_since < $2 AND NOT EXISTS (SELECT FROM tasks WHERE tasks.id = parent_id)
            LIMIT $3
        )
        RETURNING 1
    ),
    worker AS (
        DELETE FROM workers
        WHERE id IN (
            SELECT id FROM workers
            WHERE state <> 0
              AND lease_expires_at < CASE WHEN key_id IS NULL THEN $2 ELSE $4 END
              -- Its tasks are still to be rescued.
              AND NOT EXISTS (SELECT FROM tasks WHERE status = 1 AND worker_id = workers.id)
            LIMIT $3
        )
        RETURNING 1
    ),
    rate AS (
        -- Full again for long.
        DELETE FROM rate_keys
        WHERE key IN (
            SELECT key FROM rate_keys WHERE waiting = 0 AND spent_until < $2 LIMIT $3
            -- Whoever has one wants it.
            FOR UPDATE SKIP LOCKED
        )
        RETURNING 1
    )
    SELECT 1 FROM key UNION ALL SELECT 1 FROM change UNION ALL SELECT 1 FROM missing UNION ALL SELECT 1 FROM worker
    UNION ALL SELECT 1 FROM rate";
