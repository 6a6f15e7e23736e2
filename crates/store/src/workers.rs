//! Worker processes and their leases.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::{EnvironmentName, Target, TaskId, TaskName, Timestamp, WorkerId};

use crate::Error;

/// The isolation of a worker that runs no programs, such as one that cannot have the level that it is to have.
pub const NO_PROGRAMS: &str = "none";

/// A worker as it introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub id: WorkerId,
    /// A label for people; several workers may share it.
    pub name: String,
    pub targets: Vec<Target>,
    pub names: Vec<TaskName>,
    pub capacity: u32,
    /// How programs are isolated there: `full`, `landlock` or `off`; [`NO_PROGRAMS`] where none are run.
    pub isolation: String,
    /// Which environments code may ask for there.
    pub environments: Vec<EnvironmentName>,
    /// The version of its program.
    pub version: String,
    pub lease: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkerState {
    Live = 0,
    /// Its lease ran out.
    Dead = 1,
    /// It left by itself.
    Left = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub registration: Registration,
    pub state: WorkerState,
    pub registered_at: Timestamp,
    pub renewed_at: Timestamp,
    pub lease_expires_at: Timestamp,
    pub running: u64,
    /// The API key of an external worker; `None` for a process, which needs none.
    pub key_id: Option<String>,
}

/// An attempt that the database thinks a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub task: TaskId,
    pub attempt: u32,
    pub cancel_requested: bool,
    pub expires_at: Timestamp,
}

/// The answer to a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    Renewed {
        holdings: Vec<Holding>,
        /// How much of the lease was left when the database answered, by its own clock: less than was asked for where
        /// the clock of the worker is behind.
        left: Duration,
    },
    /// The lease had run out, or the worker is marked dead: stop everything and register under a new id.
    Lost,
}

#[async_trait]
pub trait WorkerStore: Send + Sync {
    async fn register(&self, registration: &Registration, now: Timestamp) -> Result<(), Error>;

    /// Ends a lease in good order, after everything was handed back.
    async fn leave(&self, worker: WorkerId, now: Timestamp) -> Result<(), Error>;

    /// Marks the workers dead whose lease has run out. Their tasks are found by
    /// [`orphans`](crate::DispatchStore::orphans) from the next statement on.
    async fn mark_dead(&self, now: Timestamp) -> Result<Vec<WorkerId>, Error>;

    /// Gives everybody who holds a lease at `now` so much longer, up to the end of the timeout of an attempt: for a clock that is
    /// moved by hand, because nobody was silent meanwhile.
    async fn lengthen_leases(&self, by: Duration, now: Timestamp) -> Result<(), Error>;

    /// Live workers first, newest first.
    async fn workers(&self, limit: usize) -> Result<Vec<Worker>, Error>;

    /// A connection of its own for renewals, so that nothing else can starve them. It must be used on the runtime that
    /// opened it.
    async fn lease_keeper(&self) -> Result<Box<dyn LeaseKeeper>, Error>;
}

#[async_trait]
pub trait LeaseKeeper: Send {
    /// Extends the lease to `now + lease`, if it has not run out, and lists what the worker holds.
    async fn renew(&mut self, worker: WorkerId, lease: Duration, now: Timestamp) -> Result<Renewal, Error>;

    /// The time of the database, for the clock of the process.
    async fn database_time(&mut self) -> Result<Timestamp, Error>;
}
