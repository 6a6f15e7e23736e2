//! The pool, and single statements on it: each with a deadline, each repeated where that is safe.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::SpecLimits;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{FromRow, PgConnection, PgPool, Postgres};
use tokio::time::{Instant, timeout_at};

use super::failure::{self, Effect};
use super::refusals::Refusals;
use super::server::Server;
use crate::compiled::CompiledDefinitions;
use crate::rated::RatedTargets;
use crate::{Error, Options};

/// What to do when a statement may have been committed although its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterUnknown {
    /// Its guards make the second time harmless.
    Repeat,
    /// Someone else finds what it left.
    Report,
}

#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) pool: PgPool,
    /// For connections outside of the pool.
    pub(super) connect: PgConnectOptions,
    pub(super) schema: Arc<str>,
    pub(super) timeout: Duration,
    pub(super) server: Server,
    refusals: Arc<Refusals>,
    /// Of follow-ups.
    pub(super) limits: SpecLimits,
    pub(super) rated: Arc<RatedTargets>,
    pub(super) compiled: Arc<CompiledDefinitions>,
}

impl Database {
    pub(super) fn new(pool: PgPool, connect: PgConnectOptions, options: &Options) -> Self {
        Self {
            pool,
            server: Server::of(&connect, options.timeout),
            refusals: Arc::new(Refusals::of(&connect, options.timeout)),
            connect,
            schema: options.schema.as_str().into(),
            timeout: options.timeout,
            limits: options.limits,
            rated: Arc::default(),
            compiled: Arc::default(),
        }
    }

    /// Every row of a statement.
    pub(super) async fn all<'q, T>(
        &self,
        after_unknown: AfterUnknown,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments> + Sync,
    ) -> Result<Vec<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.all_raw(after_unknown, statement).await.map_err(failure::error)
    }

    /// As [`all`](Self::all), for callers that look at the failure itself.
    pub(super) async fn all_raw<'q, T>(
        &self,
        after_unknown: AfterUnknown,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments> + Sync,
    ) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut tries = Tries::new(self);
        loop {
            let mut lease = self.lease().await?;
            let answer = timeout_at(tries.deadline, statement().fetch_all(lease.connection())).await;
            match lease.settle(answer) {
                Ok(rows) => return Ok(rows),
                Err(error) => tries.again(error, after_unknown)?,
            }
        }
    }

    /// The first row, if there is one; safe to repeat.
    pub(super) async fn optional<'q, T>(
        &self,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments> + Sync,
    ) -> Result<Option<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(self.all(AfterUnknown::Repeat, statement).await?.into_iter().next())
    }

    /// The only row of a statement that always has one; safe to repeat.
    pub(super) async fn one<'q, T>(
        &self,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments> + Sync,
    ) -> Result<T, Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let row = self.optional(statement).await?;
        row.ok_or(Error::Statement(sqlx::Error::RowNotFound))
    }

    /// How many rows a statement changed; safe to repeat.
    pub(super) async fn execute<'q>(
        &self,
        statement: impl Fn() -> Query<'q, Postgres, PgArguments> + Sync,
    ) -> Result<u64, Error> {
        self.execute_raw(statement).await.map_err(failure::error)
    }

    /// As [`execute`](Self::execute), for callers that look at the failure itself.
    pub(super) async fn execute_raw<'q>(
        &self,
        statement: impl Fn() -> Query<'q, Postgres, PgArguments> + Sync,
    ) -> Result<u64, sqlx::Error> {
        let mut tries = Tries::new(self);
        loop {
            let mut lease = self.lease().await?;
            let answer = timeout_at(tries.deadline, statement().execute(lease.connection())).await;
            match lease.settle(answer) {
                Ok(done) => return Ok(done.rows_affected()),
                Err(error) => tries.again(error, AfterUnknown::Repeat)?,
            }
        }
    }

    pub(super) async fn lease(&self) -> Result<Lease, sqlx::Error> {
        // The pool has a deadline of its own, so what it does may end at any point, and nothing of it is lost.
        let acquired = tokio::select! {
            biased;
            acquired = self.pool.acquire() => acquired,
            refused = self.refusals.lasting() => Err(sqlx::Error::Io(refused)),
        };
        let connection = acquired.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => self.server.no_connection(self.pool.options().get_max_connections()),
            error => self.server.unreached(error),
        })?;
        Ok(Lease {
            connection,
            server: self.server.clone(),
            clean: false,
        })
    }
}

/// A connection that goes back to the pool only after its work came to an end. Whoever is cancelled in the middle, by a
/// deadline or a caller that went away, leaves a connection in an unknown state: that one is closed.
pub(super) struct Lease {
    connection: PoolConnection<Postgres>,
    pub(super) server: Server,
    clean: bool,
}

impl Lease {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(super) fn set_clean(&mut self) {
        self.clean = true;
    }

    /// Ends the lease with what a single statement answered.
    pub(super) fn settle<T>(
        mut self,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, sqlx::Error> {
        let answer = answer.unwrap_or_else(|_| Err(self.server.silent()));
        if answer
            .as_ref()
            .err()
            .is_none_or(|error| failure::effect(error) != Effect::Unknown)
        {
            self.set_clean();
        }
        answer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.clean {
            self.connection.close_on_drop();
        }
    }
}

/// How often and how long one call is tried.
pub(super) struct Tries {
    pub(super) deadline: Instant,
    left: u32,
}

impl Tries {
    /// After a restart of the server every pooled connection is a dead one, and fails at once.
    pub(super) fn new(database: &Database) -> Self {
        Self {
            deadline: Instant::now() + database.timeout,
            left: database.pool.options().get_max_connections() + 3,
        }
    }

    /// Returns if the call may be repeated.
    pub(super) fn again(&mut self, error: sqlx::Error, after_unknown: AfterUnknown) -> Result<(), sqlx::Error> {
        let repeatable = match failure::effect(&error) {
            Effect::NoneTryAgain => true,
            Effect::Unknown => after_unknown == AfterUnknown::Repeat,
            Effect::None => false,
        };
        if repeatable && self.left > 0 && Instant::now() < self.deadline {
            self.left -= 1;
            Ok(())
        } else {
            Err(error)
        }
    }
}
