//! Workers.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::{Timestamp, WorkerId};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::SqliteStore;
use super::error::sql;
use super::lease::Keeper;
use super::rows::{damaged, get, json, milliseconds, number, parsed, signed, timestamp};
use crate::{Error, LeaseKeeper, Registration, Worker, WorkerState, WorkerStore};

#[async_trait]
impl WorkerStore for SqliteStore {
    async fn register(&self, registration: &Registration, now: Timestamp) -> Result<(), Error> {
        let Registration {
            id,
            name,
            targets,
            names,
            capacity,
            isolation,
            environments,
            version,
            lease,
        } = registration;
        // Repeating a registration whose answer was lost changes nothing: an id is that of one process start.
        sqlx::query(
            "INSERT INTO workers (
                 id, name, targets, names, capacity, isolation, environments, version, lease_ms, registered_at, state,
                 renewed_at, lease_expires_at
             )
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?10, ?11)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.0)
        .bind(name)
        .bind(json(targets))
        .bind(json(names))
        .bind(capacity)
        .bind(isolation)
        .bind(json(environments))
        .bind(version)
        .bind(milliseconds(*lease))
        .bind(now.as_micros())
        .bind((now + *lease).as_micros())
        .execute(&self.write)
        .await
        .map_err(sql)?;
        Ok(())
    }

    async fn leave(&self, worker: WorkerId, now: Timestamp) -> Result<(), Error> {
        sqlx::query(
            "UPDATE workers
             SET state = 2,
                 lease_expires_at = min(lease_expires_at, ?2)
             WHERE id = ?1
               AND state = 0",
        )
        .bind(worker.0)
        .bind(now.as_micros())
        .execute(&self.write)
        .await
        .map_err(sql)?;
        Ok(())
    }

    async fn mark_dead(&self, now: Timestamp) -> Result<Vec<WorkerId>, Error> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "UPDATE workers
             SET state = 1
             WHERE state = 0
               AND lease_expires_at <= ?1
             RETURNING id",
        )
        .bind(now.as_micros())
        .fetch_all(&self.write)
        .await
        .map_err(sql)?;
        Ok(ids.into_iter().map(WorkerId).collect())
    }

    async fn lengthen_leases(&self, by: Duration, now: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        for statement in [
            "UPDATE workers
             SET lease_expires_at = lease_expires_at + ?1,
                 renewed_at = max(renewed_at, ?2 + ?1)
             WHERE state = 0
               AND lease_expires_at > ?2",
            "UPDATE external_claims
             SET lease_expires_at = min(lease_expires_at + ?1, coalesce(ends_at, 9223372036854775807))
             WHERE lease_expires_at > ?2",
        ] {
            sqlx::query(statement)
                .bind(signed(by.as_micros()))
                .bind(now.as_micros())
                .execute(&mut *transaction)
                .await
                .map_err(sql)?;
        }
        transaction.commit().await.map_err(sql)
    }

    async fn workers(&self, limit: usize) -> Result<Vec<Worker>, Error> {
        let rows = sqlx::query(
            "SELECT
                 w.id, w.name, w.targets, w.names, w.capacity, w.isolation, w.environments, w.version, w.lease_ms,
                 w.registered_at, w.state, w.renewed_at, w.lease_expires_at, w.key_id,
                 (SELECT count(*) FROM tasks t WHERE t.status = 1 AND t.worker_id = w.id) AS running
             FROM workers w
             ORDER BY w.state <> 0, w.id DESC
             LIMIT ?1",
        )
        .bind(signed(limit))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter().map(worker).collect()
    }

    async fn lease_keeper(&self) -> Result<Box<dyn LeaseKeeper>, Error> {
        Ok(Box::new(Keeper::new(self.write.clone(), self.clock.clone())))
    }
}

/// Ends the leases that are left of earlier owners of the file. Their workers lived in their processes, whose end gave the
/// lock free: nobody need wait for a lease to run out. All else goes as ever: the workers are marked dead, and what they
/// held is lost and runs again. Workers that claim over HTTP live elsewhere: they go on.
pub(super) async fn end_leases_of_earlier_owners(write: &SqlitePool, now: Timestamp) -> Result<(), Error> {
    if !has_workers(write).await? {
        return Ok(());
    }
    let knows_external_workers: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pragma_table_info('workers') WHERE name = 'key_id')")
            .fetch_one(write)
            .await
            .map_err(sql)?;
    let statement = if knows_external_workers {
        "UPDATE workers
         SET lease_expires_at = ?1
         WHERE state = 0
           AND key_id IS NULL
           AND lease_expires_at > ?1"
    } else {
        "UPDATE workers
         SET lease_expires_at = ?1
         WHERE state = 0
           AND lease_expires_at > ?1"
    };
    sqlx::query(statement)
        .bind(now.as_micros())
        .execute(write)
        .await
        .map_err(sql)?;
    Ok(())
}

/// Whoever worked here last did so at a time that a clock which is moved by hand must not fall behind: what is due then would
/// not be due any more. A clock of this machine that was set back keeps nobody from a start.
pub(super) async fn refuse_to_go_back(read: &SqlitePool, begins: Timestamp) -> Result<(), Error> {
    if !has_workers(read).await? {
        return Ok(());
    }
    let latest: Option<i64> = sqlx::query_scalar("SELECT max(renewed_at) FROM workers")
        .fetch_one(read)
        .await
        .map_err(sql)?;
    match latest.map(Timestamp::from_micros) {
        Some(latest) if latest > begins => Err(Error::ClockWouldGoBack { begins, latest }),
        Some(_) | None => Ok(()),
    }
}

async fn has_workers(pool: &SqlitePool) -> Result<bool, Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'workers')")
        .fetch_one(pool)
        .await
        .map_err(sql)
}

fn worker(row: &SqliteRow) -> Result<Worker, Error> {
    let id = WorkerId(get(row, "id")?);
    let state = match get::<i64>(row, "state")? {
        0 => WorkerState::Live,
        1 => WorkerState::Dead,
        2 => WorkerState::Left,
        other => return Err(damaged("workers", "state", id, format!("{other} is no state"))),
    };
    Ok(Worker {
        registration: Registration {
            id,
            name: get(row, "name")?,
            targets: parsed(get(row, "targets")?, "workers", "targets", id)?,
            names: parsed(get(row, "names")?, "workers", "names", id)?,
            capacity: number(row, "workers", "capacity", id)?,
            isolation: get(row, "isolation")?,
            environments: parsed(get(row, "environments")?, "workers", "environments", id)?,
            version: get(row, "version")?,
            lease: Duration::from_millis(number(row, "workers", "lease_ms", id)?),
        },
        state,
        registered_at: timestamp(row, "registered_at")?,
        renewed_at: timestamp(row, "renewed_at")?,
        lease_expires_at: timestamp(row, "lease_expires_at")?,
        running: number(row, "workers", "running", id)?,
        key_id: get(row, "key_id")?,
    })
}
