//! Renewing leases.
//!
//! PostgreSQL gives renewals a connection of their own. Here there is one writer, and what holds it up is in the same
//! process and bounded by the size of a batch, so renewals queue with the other writes.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::{Timestamp, WorkerId};
use sqlx::SqlitePool;

use super::clock::{OwnersClock, database_time, wall_time};
use super::error::sql;
use super::rows::{get, milliseconds, number, task_id, timestamp};
use crate::{Error, Holding, LeaseKeeper, Renewal};

#[derive(Debug)]
pub(super) struct Keeper {
    write: SqlitePool,
    clock: Option<OwnersClock>,
}

impl Keeper {
    pub(super) fn new(write: SqlitePool, clock: Option<OwnersClock>) -> Self {
        Self { write, clock }
    }
}

#[async_trait]
impl LeaseKeeper for Keeper {
    async fn renew(&mut self, worker: WorkerId, lease: Duration, now: Timestamp) -> Result<Renewal, Error> {
        let mut transaction = self.write.begin_with("BEGIN IMMEDIATE").await.map_err(sql)?;
        let ends_at: Option<i64> = sqlx::query_scalar(
            "UPDATE workers
             SET renewed_at = ?2,
                 lease_ms = ?3,
                 lease_expires_at = max(lease_expires_at, ?4)
             WHERE id = ?1
               AND state = 0
               AND lease_expires_at > ?2
             RETURNING lease_expires_at",
        )
        .bind(worker.0)
        .bind(now.as_micros())
        .bind(milliseconds(lease))
        .bind((now + lease).as_micros())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(sql)?;
        let Some(ends_at) = ends_at else {
            return Ok(Renewal::Lost);
        };
        let rows = sqlx::query(
            "SELECT id, attempt, cancel_requested, expires_at
             FROM tasks
             WHERE status = 1
               AND worker_id = ?1
             ORDER BY id",
        )
        .bind(worker.0)
        .fetch_all(&mut *transaction)
        .await
        .map_err(sql)?;
        transaction.commit().await.map_err(sql)?;
        let holdings = rows
            .iter()
            .map(|row| {
                let task = task_id(row, "id")?;
                Ok(Holding {
                    task,
                    attempt: number(row, "tasks", "attempt", task)?,
                    cancel_requested: get(row, "cancel_requested")?,
                    expires_at: timestamp(row, "expires_at")?,
                })
            })
            .collect::<Result<_, Error>>()?;
        let time = match &self.clock {
            Some(clock) => clock.now(),
            None => wall_time(&self.write).await?,
        };
        Ok(Renewal::Renewed {
            holdings,
            left: Timestamp::from_micros(ends_at).saturating_since(time),
        })
    }

    async fn database_time(&mut self) -> Result<Timestamp, Error> {
        database_time(&self.write, self.clock.as_ref()).await
    }
}
