//! Renewals, on a connection of their own.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::{TaskId, Timestamp, WorkerId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use uuid::Uuid;

use super::database::Database;
use super::failure::{self, Effect};
use super::rows::{Place, Time, milliseconds, time, timestamp};
use super::server::Server;
use crate::{Error, Holding, LeaseKeeper, Renewal};

#[derive(Debug)]
pub(super) struct PostgresLeaseKeeper {
    connect: PgConnectOptions,
    server: Server,
    /// `None` after a failure, and while a statement is under way: one that was cancelled is not used again.
    connection: Option<PgConnection>,
}

impl PostgresLeaseKeeper {
    pub(super) async fn open(database: &Database) -> Result<Self, Error> {
        let mut keeper = Self {
            connect: database.connect.clone(),
            server: database.server.clone(),
            connection: None,
        };
        keeper.connection = Some(keeper.connected().await?);
        Ok(keeper)
    }

    async fn connected(&mut self) -> Result<PgConnection, Error> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let (connect, server) = (&self.connect, &self.server);
        let connecting = async { connect.connect().await.map_err(|error| server.unreached(error)) };
        server.in_time(connecting).await.map_err(failure::error)
    }

    /// Keeps the connection unless it broke.
    fn settle<T>(&mut self, connection: PgConnection, answer: Result<T, sqlx::Error>) -> Result<T, Error> {
        if answer
            .as_ref()
            .err()
            .is_none_or(|error| failure::effect(error) != Effect::Unknown)
        {
            self.connection = Some(connection);
        }
        answer.map_err(failure::error)
    }
}

/// The end of the lease and the time; then a holding, if there is one: `id`, `attempt`, `cancel_requested`, `expires_at`.
type RenewalRow = (Time, Time, Option<Uuid>, Option<i32>, Option<bool>, Option<Time>);

#[async_trait]
impl LeaseKeeper for PostgresLeaseKeeper {
    async fn renew(&mut self, worker: WorkerId, lease: Duration, now: Timestamp) -> Result<Renewal, Error> {
        let mut connection = self.connected().await?;
        let statement = sqlx::query_as(
            "WITH renewed AS (
                UPDATE workers
                SET renewed_at = $2,
                    -- A clock that was set back must not shorten it.
                    lease_expires_at = GREATEST(lease_expires_at, $3),
                    lease_ms = $4
                -- A lease that ran out stays run out: its tasks may have been given to others.
                WHERE id = $1 AND state = 0 AND lease_expires_at > $2
                RETURNING id, lease_expires_at
            )
            SELECT
                renewed.lease_expires_at, clock_timestamp(),
                tasks.id, tasks.attempt, tasks.cancel_requested, tasks.expires_at
            FROM renewed
            LEFT JOIN tasks ON tasks.worker_id = renewed.id AND tasks.status = 1",
        )
        .bind(worker.0)
        .bind(time(now))
        .bind(time(now + lease))
        .bind(milliseconds(lease));
        let answer: Result<Vec<RenewalRow>, _> = self.server.in_time(statement.fetch_all(&mut connection)).await;
        let rows = self.settle(connection, answer)?;
        let Some((ends_at, now, ..)) = rows.first() else {
            return Ok(Renewal::Lost);
        };
        let left = timestamp(*ends_at).saturating_since(timestamp(*now));
        let holdings = rows.into_iter().filter_map(|row| holding(row).transpose());
        Ok(Renewal::Renewed {
            holdings: holdings.collect::<Result<_, _>>()?,
            left,
        })
    }

    async fn database_time(&mut self) -> Result<Timestamp, Error> {
        let mut connection = self.connected().await?;
        let statement = sqlx::query_as("SELECT clock_timestamp()");
        let answer: Result<(Time,), _> = self.server.in_time(statement.fetch_one(&mut connection)).await;
        let (now,) = self.settle(connection, answer)?;
        Ok(timestamp(now))
    }
}

/// `None` for the row of a lease that holds nothing.
fn holding(row: RenewalRow) -> Result<Option<Holding>, Error> {
    let (_, _, Some(id), Some(attempt), Some(cancel_requested), Some(expires_at)) = row else {
        return Ok(None);
    };
    let place = Place {
        table: "tasks",
        row: &id,
    };
    Ok(Some(Holding {
        task: TaskId(id),
        attempt: place.number("attempt", attempt)?,
        cancel_requested,
        expires_at: timestamp(expires_at),
    }))
}
