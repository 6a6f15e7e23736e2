//! Worker processes.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::{EnvironmentName, Target, TaskName, Timestamp, WorkerId};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use super::database::AfterUnknown;
use super::leases::PostgresLeaseKeeper;
use super::rows::{Place, Time, int4, int8, milliseconds, time, timestamp};
use crate::{Error, LeaseKeeper, Registration, Worker, WorkerState, WorkerStore};

#[async_trait]
impl WorkerStore for PostgresStore {
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
        let targets: Vec<&str> = targets.iter().map(Target::as_str).collect();
        let names: Vec<&str> = names.iter().map(TaskName::as_str).collect();
        let environments: Vec<&str> = environments.iter().map(EnvironmentName::as_str).collect();
        self.database
            .execute(|| {
                sqlx::query(
                    "INSERT INTO workers (
                        id, name, targets, names, capacity, isolation, environments, version, lease_ms,
                        registered_at, state, renewed_at, lease_expires_at
                    )
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $10, $11)
                    -- Ids are new for each process start: it is our own first try.
                    ON CONFLICT (id) DO NOTHING",
                )
                .bind(id.0)
                .bind(name)
                .bind(&targets)
                .bind(&names)
                .bind(int4(*capacity))
                .bind(isolation)
                .bind(&environments)
                .bind(version)
                .bind(milliseconds(*lease))
                .bind(time(now))
                .bind(time(now + *lease))
            })
            .await?;
        Ok(())
    }

    async fn leave(&self, worker: WorkerId, now: Timestamp) -> Result<(), Error> {
        self.database
            .execute(|| {
                sqlx::query(
                    "UPDATE workers SET state = 2, lease_expires_at = LEAST(lease_expires_at, $2)
                    WHERE id = $1 AND state = 0",
                )
                .bind(worker.0)
                .bind(time(now))
            })
            .await?;
        Ok(())
    }

    async fn mark_dead(&self, now: Timestamp) -> Result<Vec<WorkerId>, Error> {
        let rows: Vec<(Uuid,)> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as("UPDATE workers SET state = 1 WHERE state = 0 AND lease_expires_at <= $1 RETURNING id")
                    .bind(time(now))
            })
            .await?;
        Ok(rows.into_iter().map(|(id,)| WorkerId(id)).collect())
    }

    async fn lengthen_leases(&self, by: Duration, now: Timestamp) -> Result<(), Error> {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.database
            .execute(|| {
                sqlx::query(
                    "WITH worker_leases AS (
                        UPDATE workers
                        SET lease_expires_at = lease_expires_at + $1 * interval '1 microsecond',
                            renewed_at = GREATEST(renewed_at, $2 + $1 * interval '1 microsecond')
                        WHERE state = 0 AND lease_expires_at > $2
                    )
                    UPDATE external_claims
                    -- LEAST passes over an end that is not there.
                    SET lease_expires_at = LEAST(lease_expires_at + $1 * interval '1 microsecond', ends_at)
                    WHERE lease_expires_at > $2",
                )
                .bind(micros)
                .bind(time(now))
            })
            .await?;
        Ok(())
    }

    async fn workers(&self, limit: usize) -> Result<Vec<Worker>, Error> {
        let rows: Vec<WorkerRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT
                        id, name, targets, names, capacity, isolation, environments, version, lease_ms,
                        registered_at, state, renewed_at, lease_expires_at, key_id,
                        (SELECT count(*) FROM tasks WHERE status = 1 AND worker_id = workers.id) AS running
                    FROM workers
                    ORDER BY state <> 0, id DESC
                    LIMIT $1",
                )
                .bind(int8(limit))
            })
            .await?;
        rows.into_iter().map(WorkerRow::into_worker).collect()
    }

    async fn lease_keeper(&self) -> Result<Box<dyn LeaseKeeper>, Error> {
        Ok(Box::new(PostgresLeaseKeeper::open(&self.database).await?))
    }
}

#[derive(FromRow)]
struct WorkerRow {
    id: Uuid,
    name: String,
    targets: Vec<String>,
    names: Vec<String>,
    capacity: i32,
    isolation: String,
    environments: Vec<String>,
    version: String,
    lease_ms: i64,
    registered_at: Time,
    state: i16,
    renewed_at: Time,
    lease_expires_at: Time,
    key_id: Option<String>,
    running: i64,
}

impl WorkerRow {
    fn into_worker(self) -> Result<Worker, Error> {
        let Self {
            id,
            name,
            targets,
            names,
            capacity,
            isolation,
            environments,
            version,
            lease_ms,
            registered_at,
            state,
            renewed_at,
            lease_expires_at,
            key_id,
            running,
        } = self;
        let place = Place {
            table: "workers",
            row: &id,
        };
        Ok(Worker {
            registration: Registration {
                id: WorkerId(id),
                name,
                targets: targets
                    .into_iter()
                    .map(|target| place.take("targets", Target::new(target)))
                    .collect::<Result<_, _>>()?,
                names: names
                    .into_iter()
                    .map(|name| place.take("names", TaskName::new(name)))
                    .collect::<Result<_, _>>()?,
                capacity: place.number("capacity", capacity)?,
                isolation,
                environments: environments
                    .into_iter()
                    .map(|name| place.take("environments", EnvironmentName::new(name)))
                    .collect::<Result<_, _>>()?,
                version,
                lease: place.milliseconds("lease_ms", lease_ms)?,
            },
            state: match state {
                0 => WorkerState::Live,
                1 => WorkerState::Dead,
                2 => WorkerState::Left,
                _ => return Err(place.corrupt("state", state)),
            },
            registered_at: timestamp(registered_at),
            renewed_at: timestamp(renewed_at),
            lease_expires_at: timestamp(lease_expires_at),
            running: place.number("running", running)?,
            key_id,
        })
    }
}
