//! What the product has stored, read from its tables and not from its answers.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use super::super::Stretch;
use crate::servers::Database;

/// A connection of the benchmark's own.
#[derive(Debug)]
pub(crate) enum Records {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// The times of one task, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    pub(crate) id: Uuid,
    pub(crate) started_micros: i64,
    pub(crate) finished_micros: i64,
}

type Totals = (i64, i64, i64, Option<i64>, Option<i64>);

impl Records {
    pub(super) async fn of_postgres(database: &Database) -> Result<Self> {
        Ok(Self::Postgres(database.connect().await?))
    }

    pub(super) async fn of_sqlite(file: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .disable_statement_logging();
        let connection = SqliteConnection::connect_with(&options).await;
        Ok(Self::Sqlite(
            connection.with_context(|| format!("cannot read {}", file.display()))?,
        ))
    }

    /// How many tasks are still to be done.
    pub(crate) async fn open(&mut self) -> Result<i64> {
        let (count,) = match self {
            Self::Postgres(connection) => {
                sqlx::query_as("SELECT count(*) FROM tasks WHERE status < 2")
                    .fetch_one(connection)
                    .await?
            }
            Self::Sqlite(connection) => {
                sqlx::query_as("SELECT count(*) FROM tasks WHERE status < 2")
                    .fetch_one(connection)
                    .await?
            }
        };
        Ok(count)
    }

    /// How many sagas are not over.
    pub(crate) async fn open_sagas(&mut self) -> Result<i64> {
        const OPEN: &str = "SELECT count(*) FROM sagas WHERE status < 5";
        let (count,) = match self {
            Self::Postgres(connection) => sqlx::query_as(OPEN).fetch_one(connection).await?,
            Self::Sqlite(connection) => sqlx::query_as(OPEN).fetch_one(connection).await?,
        };
        Ok(count)
    }

    /// The ids of all sagas.
    pub(crate) async fn sagas(&mut self) -> Result<Vec<Uuid>> {
        const ALL: &str = "SELECT id FROM sagas";
        let rows: Vec<(Uuid,)> = match self {
            Self::Postgres(connection) => sqlx::query_as(ALL).fetch_all(connection).await?,
            Self::Sqlite(connection) => sqlx::query_as(ALL).fetch_all(connection).await?,
        };
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// How many inputs all sagas have taken, their starts among them.
    pub(crate) async fn inputs_of_sagas(&mut self) -> Result<i64> {
        const TAKEN: &str = "SELECT CAST(COALESCE(sum(version), 0) AS bigint) FROM sagas";
        let (taken,) = match self {
            Self::Postgres(connection) => sqlx::query_as(TAKEN).fetch_one(connection).await?,
            Self::Sqlite(connection) => sqlx::query_as(TAKEN).fetch_one(connection).await?,
        };
        Ok(taken)
    }

    /// When each saga that is over ended, in microseconds since 1970.
    pub(crate) async fn ended_sagas(&mut self) -> Result<Vec<i64>> {
        let rows: Vec<(i64,)> = match self {
            Self::Postgres(connection) => sqlx::query_as(
                "SELECT (extract(epoch FROM finished_at) * 1000000)::bigint FROM sagas WHERE finished_at IS NOT NULL",
            )
            .fetch_all(connection)
            .await?,
            Self::Sqlite(connection) => {
                sqlx::query_as("SELECT finished_at FROM sagas WHERE finished_at IS NOT NULL")
                    .fetch_all(connection)
                    .await?
            }
        };
        Ok(rows.into_iter().map(|(ended,)| ended).collect())
    }

    /// The tasks in (status, attempt) order are all `Completed` with their first attempt, which is recorded: otherwise
    /// the figure would be that of a system that loses or repeats work.
    pub(crate) async fn drained(&mut self, tasks: u32) -> Result<Stretch> {
        let (all, completed, attempts, first, last): Totals = match self {
            Self::Postgres(connection) => {
                sqlx::query_as(
                    "SELECT
                        count(*),
                        count(*) FILTER (WHERE status = 2 AND attempt = 1),
                        (SELECT count(*) FROM attempts WHERE attempt = 1 AND outcome = 0),
                        (extract(epoch FROM min(started_at)) * 1000000)::bigint,
                        (extract(epoch FROM max(finished_at)) * 1000000)::bigint
                    FROM tasks",
                )
                .fetch_one(connection)
                .await?
            }
            Self::Sqlite(connection) => {
                sqlx::query_as(
                    "SELECT
                        count(*),
                        count(*) FILTER (WHERE status = 2 AND attempt = 1),
                        (SELECT count(*) FROM attempts WHERE attempt = 1 AND outcome = 0),
                        min(started_at),
                        max(finished_at)
                    FROM tasks",
                )
                .fetch_one(connection)
                .await?
            }
        };
        let expected = i64::from(tasks);
        ensure!(
            (all, completed, attempts) == (expected, expected, expected),
            "{tasks} tasks were created; there are {all}, {completed} of them Completed with one attempt, and {attempts} \
            recorded attempts"
        );
        Ok(Stretch {
            tasks,
            first_started_micros: first.context("a task that was completed has started")?,
            last_finished_micros: last.context("a task that was completed has finished")?,
        })
    }

    /// The times of every task that is done.
    pub(crate) async fn times(&mut self) -> Result<Vec<Timed>> {
        let rows: Vec<(Uuid, i64, i64)> = match self {
            Self::Postgres(connection) => {
                sqlx::query_as(
                    "SELECT
                        id,
                        (extract(epoch FROM started_at) * 1000000)::bigint,
                        (extract(epoch FROM finished_at) * 1000000)::bigint
                    FROM tasks
                    WHERE status = 2",
                )
                .fetch_all(connection)
                .await?
            }
            Self::Sqlite(connection) => {
                sqlx::query_as("SELECT id, started_at, finished_at FROM tasks WHERE status = 2")
                    .fetch_all(connection)
                    .await?
            }
        };
        let timed = rows.into_iter().map(|(id, started_micros, finished_micros)| Timed {
            id,
            started_micros,
            finished_micros,
        });
        Ok(timed.collect())
    }

    /// When the only group ended, in microseconds since 1970.
    pub(crate) async fn group_ended(&mut self) -> Result<i64> {
        let (ended,): (i64,) = match self {
            Self::Postgres(connection) => {
                sqlx::query_as("SELECT (extract(epoch FROM finished_at) * 1000000)::bigint FROM task_groups")
                    .fetch_one(connection)
                    .await?
            }
            Self::Sqlite(connection) => {
                sqlx::query_as("SELECT finished_at FROM task_groups")
                    .fetch_one(connection)
                    .await?
            }
        };
        Ok(ended)
    }

    /// Those of the tasks that another connection can see as done.
    pub(crate) async fn visible(&mut self, ids: &[Uuid]) -> Result<Vec<Uuid>> {
        match self {
            Self::Postgres(connection) => {
                let rows: Vec<(Uuid,)> = sqlx::query_as("SELECT id FROM tasks WHERE id = ANY($1) AND status = 2")
                    .bind(ids)
                    .fetch_all(connection)
                    .await?;
                Ok(rows.into_iter().map(|(id,)| id).collect())
            }
            Self::Sqlite(connection) => {
                let mut seen = Vec::new();
                for id in ids {
                    let row: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM tasks WHERE id = $1 AND status = 2")
                        .bind(id)
                        .fetch_optional(&mut *connection)
                        .await?;
                    seen.extend(row.map(|_| *id));
                }
                Ok(seen)
            }
        }
    }

    /// Makes an empty table of the one that a warm-up has filled.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        match self {
            Self::Postgres(connection) => {
                sqlx::query("TRUNCATE tasks, dispatches, attempts, sagas, saga_events, saga_timers")
                    .execute(connection)
                    .await?;
            }
            Self::Sqlite(_) => {}
        }
        Ok(())
    }
}
