//! The schema, the clock, retention, signals, and the checks an operator can run.

use async_trait::async_trait;
use futures::stream::BoxStream;
use orchestratum_core::Timestamp;

use crate::Error;

/// A rule of the data that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenInvariant {
    /// A sentence: what should hold.
    pub rule: &'static str,
    /// The row that breaks it.
    pub row: String,
}

/// From when on records are kept.
#[derive(Debug, Clone, Copy)]
pub struct RecordsBefore {
    pub idempotency_keys: Timestamp,
    /// Workers over HTTP that are gone. They may be many: whoever claims makes them up.
    pub external_workers: Timestamp,
    /// The audit, other workers that are gone, and what is left of tasks.
    pub others: Timestamp,
}

impl RecordsBefore {
    /// All from the same time on.
    pub const fn all(before: Timestamp) -> Self {
        Self {
            idempotency_keys: before,
            external_workers: before,
            others: before,
        }
    }
}

#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Brings the schema to the version of this program, or leaves a newer one; of several that start together one does it, the others wait.
    async fn migrate(&self) -> Result<(), Error>;

    /// # Errors
    /// [`Error::SchemaVersion`] if the schema is older than this program needs. A newer one keeps what older programs
    /// use.
    async fn check_schema(&self) -> Result<(), Error>;

    /// The time of the database; also shows that it answers.
    async fn database_time(&self) -> Result<Timestamp, Error>;

    /// Deletes tasks that finished before `before`, with their attempts and logs, and groups, at most `limit` of each, and sagas,
    /// of whose histories not many more entries than `limit` go at a time: how many tasks, groups and sagas. What a group or a saga
    /// that goes on has to do with stays.
    async fn purge_finished(&self, before: Timestamp, limit: usize) -> Result<u64, Error>;

    /// Deletes what is old and belongs to no task that is there, at most `limit` of each kind: how much.
    async fn purge_records(&self, before: &RecordsBefore, limit: usize) -> Result<u64, Error>;

    /// Every broken invariant, at most `limit`; read-only.
    async fn broken_invariants(&self, now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, Error>;

    /// Tells every process on this database something; it may get lost. Outside of any transaction.
    async fn signal(&self, payload: &str) -> Result<(), Error>;

    /// What [`signal`](Self::signal) is told from now on, own signals included. The stream ends when the connection does.
    async fn signals(&self) -> Result<BoxStream<'static, String>, Error>;

    /// Closes every connection, after what is under way.
    async fn close(&self);
}
