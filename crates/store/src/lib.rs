//! The store: all SQL of Orchestratum.
//!
//! ```text
//!   engine ──► dyn Store ──┬─► postgres   rows locked in one order, one statement a batch
//!                          └─► sqlite     one writer, BEGIN IMMEDIATE, the same semantics
//! ```
//!
//! The traits are cut by aggregate; `tests/store/conformance` is the one suite both databases must pass. Nothing here
//! reads a clock: `now` is bound, never called. Start at [`TaskStore`].

pub mod answers;
mod compiled;
mod connect;
mod decide;
mod dispatches;
mod error;
mod external;
mod groups;
mod keys;
mod logs;
mod maintenance;
mod manual_clock;
#[cfg(feature = "simulation")]
pub mod memory;
mod overviews;
mod postgres;
mod queues;
mod rated;
mod sagas;
mod schedules;
mod sqlite;
mod tasks;
mod told;
mod workers;

use std::time::Duration;

pub use connect::{Options, connect, connect_read_only};
pub use decide::{follow_up_id, id_after_group};
pub use dispatches::{DispatchStore, Orphan, Pulse, Ready, Unoffered, UnofferedSearch, UnofferedTask};
pub use error::Error;
pub use external::{
    AttemptHolder, Beaten, EXTERNAL_SILENCE, EndedLease, ExternalClaim, ExternalStore, ExternalTask, ExternallyClaimed,
    Heartbeat, Offer,
};
pub use groups::{
    AfterGroup, CancelGroupOutcome, CreateGroupOutcome, DeleteGroupOutcome, Group, GroupPage, GroupStore, MemberPage,
    MemberSearch, MembersToCancel, NewGroup, Settled, TaskAfterGroup,
};
pub use keys::{ApiKey, KeyStore};
pub use logs::{
    LogAppend, LogChunk, LogPosition, LogStore, LogStream, LogsFrom, NewLogs, StoredLogChunk, TaskLogs, log_pieces,
};
pub use maintenance::{BrokenInvariant, Maintenance, RecordsBefore};
pub use manual_clock::ManualClock;
pub use overviews::{LiveChild, LiveSagaTask, OverviewStore, SagaOverview, TaskOverview};
pub use postgres::{PostgresStore, statements};
pub use queues::{Queue, QueueStore};
pub use sagas::{
    Addressee, Advance, AdvanceOutcome, Advanced, Consequences, DefinitionHead, DefinitionVersion, EventKind, Expected,
    FiredTimers, HistoryEntry, HistoryPage, KeyedSaga, MigrateOutcome, MigrateSaga, NewDefinition, NewSaga,
    PendingTimer, Request, Saga, SagaFilter, SagaOffer, SagaPage, SagaStore, Stand, StartOutcome, StoredDefinition,
};
pub use schedules::{
    ChangeScheduleOutcome, CreateScheduleOutcome, Fired, FiredTask, LastTask, NewSchedule, Schedule, SchedulePage,
    ScheduleStore,
};
pub use sqlite::SqliteStore;
pub use tasks::{
    Admission, Announce, Attempt, AttemptPage, Audit, Change, ChangeOutcome, Changed, Children, ClaimRequest,
    ClaimedTask, CreateOutcome, CreateRequest, DeleteOutcome, Dispatch, Evidence, FollowUpTask, Followed, FollowedBy,
    IdempotencyKey, KeyWait, KnownTask, MissingCause, MissingFollowUp, NewTask, Takes, Task, TaskFilter, TaskPage,
    TaskStore,
};
pub use told::{HistoryNote, IssuedTask, StartedChild, Told};
pub use workers::{Holding, LeaseKeeper, NO_PROGRAMS, Registration, Renewal, Worker, WorkerState, WorkerStore};

/// How long after a message was sent for a task the next one may be sent: what a lost message costs at most.
pub const PUBLISH_LEASE: Duration = Duration::from_secs(30);

/// How many tasks, or sagas, a page of a list looks at when its filter has no index.
pub const UNINDEXED_SCAN: usize = 100_000;

/// How large the texts of one answer may be together: a page of a list ends before the task or the attempt that is too
/// much, and logs begin after the attempt that is. The first of a page and the newest attempt's logs are always there.
pub const PAGE_BYTES: usize = 8 << 20;

/// How large the texts of the tasks that are read by their ids may be together: as large as one request can create. Those
/// after the task that is too much are left out; the first is always there.
pub const BATCH_BYTES: usize = 16 << 20;

/// How large a chunk of a log may be: whoever writes more cuts it. So one chunk is never much for a reader.
pub const LOG_CHUNK_BYTES: usize = 32 << 10;

/// How large the new chunks of one answer may be together.
pub const NEW_LOGS_BYTES: usize = 64 << 10;

/// The most new chunks of one answer.
pub const NEW_LOGS_CHUNKS: usize = 1_000;

/// How many tasks before one that waits for a key are counted.
pub const KEY_LINE_MAX: usize = 10_000;

/// How many of those that hold a key are named.
pub const KEY_HOLDERS_SHOWN: usize = 10;

/// The most attempts of one page.
pub const ATTEMPTS_PAGE: usize = 1_000;

/// Everything the engine needs of a database.
pub trait Store:
    TaskStore
    + LogStore
    + DispatchStore
    + WorkerStore
    + ExternalStore
    + QueueStore
    + ScheduleStore
    + GroupStore
    + SagaStore
    + OverviewStore
    + KeyStore
    + Maintenance
    + std::fmt::Debug
{
}

impl<
    T: TaskStore
        + LogStore
        + DispatchStore
        + WorkerStore
        + ExternalStore
        + QueueStore
        + ScheduleStore
        + GroupStore
        + SagaStore
        + OverviewStore
        + KeyStore
        + Maintenance
        + std::fmt::Debug,
> Store for T
{
}
