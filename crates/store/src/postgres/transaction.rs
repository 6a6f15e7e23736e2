//! Several statements that commit together.

use std::future::Future;

use sqlx::{PgConnection, Row};
use tokio::time::{Instant, timeout_at};

use super::database::{AfterUnknown, Database, Lease, Tries};
use super::failure::{self, Effect};
use crate::Error;

/// Why the statements of a transaction ended it.
#[derive(Debug)]
pub(super) enum Abort {
    Sql(sqlx::Error),
    Store(Error),
    /// What it saw was overtaken while it waited for a lock: begin again.
    Overtaken,
}

impl From<sqlx::Error> for Abort {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Abort {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// The statements between BEGIN and COMMIT. They may be run more than once, but take effect once.
pub(super) trait Transaction: Send + Sync + 'static {
    type Output: Send + 'static;

    fn perform(&self, connection: &mut PgConnection) -> impl Future<Output = Result<Self::Output, Abort>> + Send;
}

/// How a transaction ended.
enum End<T> {
    Committed(T),
    Failed(Abort),
    /// COMMIT was sent and not answered.
    Unknown {
        xid: String,
        output: T,
        error: sqlx::Error,
    },
}

impl Database {
    /// Runs a transaction to its end even if the caller goes away.
    pub(super) async fn transact<W: Transaction>(&self, work: W) -> Result<W::Output, Error> {
        let database = self.clone();
        match tokio::spawn(async move { database.transact_here(&work).await }).await {
            Ok(answer) => answer,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // The runtime shuts down.
            Err(_) => Err(Error::Unavailable(sqlx::Error::PoolClosed)),
        }
    }

    async fn transact_here<W: Transaction>(&self, work: &W) -> Result<W::Output, Error> {
        let mut tries = Tries::new(self);
        loop {
            let lease = self.lease().await.map_err(failure::error)?;
            match attempt(lease, work, tries.deadline).await {
                End::Committed(output) => return Ok(output),
                End::Failed(Abort::Store(error)) => return Err(error),
                // Nothing was committed, whatever broke.
                End::Failed(Abort::Sql(error)) => tries.again(error, AfterUnknown::Repeat).map_err(failure::error)?,
                End::Failed(Abort::Overtaken) => {
                    tries
                        .again(
                            sqlx::Error::Io(std::io::ErrorKind::Interrupted.into()),
                            AfterUnknown::Repeat,
                        )
                        .map_err(failure::error)?;
                }
                End::Unknown { xid, output, error } => {
                    if self.was_committed(&xid).await? {
                        return Ok(output);
                    }
                    tries.again(error, AfterUnknown::Repeat).map_err(failure::error)?;
                }
            }
        }
    }

    /// The server remembers how a transaction ended, so a lost answer need not be guessed.
    async fn was_committed(&self, xid: &str) -> Result<bool, Error> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let (status,): (Option<String>,) = self
                .one(|| sqlx::query_as("SELECT pg_xact_status($1::text::xid8)").bind(xid.to_owned()))
                .await?;
            match status.as_deref() {
                Some("committed") => return Ok(true),
                Some("in progress") if Instant::now() < deadline => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Some("in progress") => return Err(failure::error(self.server.undecided())),
                Some(_) | None => return Ok(false),
            }
        }
    }
}

async fn attempt<W: Transaction>(mut lease: Lease, work: &W, deadline: Instant) -> End<W::Output> {
    let server = lease.server.clone();
    let begun = timeout_at(deadline, begin(lease.connection())).await;
    let xid = match begun.unwrap_or_else(|_| Err(server.silent())) {
        Ok(xid) => xid,
        Err(error) => return End::Failed(Abort::Sql(error)),
    };
    let performed = timeout_at(deadline, work.perform(lease.connection())).await;
    let output = match performed.unwrap_or_else(|_| Err(Abort::Sql(server.silent()))) {
        Ok(output) => output,
        Err(abort) => {
            roll_back(lease, &abort, deadline).await;
            return End::Failed(abort);
        }
    };
    let committed = timeout_at(deadline, sqlx::raw_sql("COMMIT").execute(lease.connection())).await;
    match committed.unwrap_or_else(|_| Err(server.silent())) {
        Ok(_) => {
            lease.set_clean();
            End::Committed(output)
        }
        Err(error) if failure::effect(&error) == Effect::Unknown => End::Unknown { xid, output, error },
        Err(error) => End::Failed(Abort::Sql(error)),
    }
}

/// One round trip. The number of the transaction is asked for before anything is done, since it is needed exactly when
/// nothing more can be asked on this connection.
async fn begin(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let row = sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id()::text")
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

/// A connection whose rollback is not confirmed is closed, which rolls back too.
async fn roll_back(mut lease: Lease, abort: &Abort, deadline: Instant) {
    if matches!(abort, Abort::Sql(error) if failure::effect(error) == Effect::Unknown) {
        return;
    }
    let answer = timeout_at(deadline, sqlx::raw_sql("ROLLBACK").execute(lease.connection())).await;
    if matches!(answer, Ok(Ok(_))) {
        lease.set_clean();
    }
}
