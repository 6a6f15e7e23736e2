//! Opening the database.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::SpecLimits;
use parking_lot::Mutex;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Sqlite, SqlitePool, Transaction};
use tokio::sync::broadcast;

use super::clock::OwnersClock;
use super::error::sql;
use super::owner::Owner;
use super::values::PREPARED_STATEMENTS;
use super::workers::{end_leases_of_earlier_owners, refuse_to_go_back};
use crate::compiled::CompiledDefinitions;
use crate::rated::RatedTargets;
use crate::{Error, Options};

/// Readers beside the writer. WAL lets them read while it writes; more than the cores of a small machine is waste.
const READERS: u32 = 4;

/// Signals a slow listener may lag behind; they are hints, so what it misses it finds by polling.
const SIGNAL_BACKLOG: usize = 4_096;

/// Rows that may wait between the thread of a connection and its caller: a batch comes over without a pause.
const ROW_BUFFER: usize = 1_024;

/// The store on SQLite.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) write: SqlitePool,
    pub(super) read: SqlitePool,
    /// The owner's; `None` for someone who only looks.
    pub(super) clock: Option<OwnersClock>,
    pub(super) signals: broadcast::Sender<String>,
    /// Of follow-ups.
    pub(super) limits: SpecLimits,
    pub(super) rated: RatedTargets,
    pub(super) compiled: Arc<CompiledDefinitions>,
    owner: Mutex<Option<Arc<Owner>>>,
}

impl SqliteStore {
    /// Opens `sqlite://path` (made if it does not exist) as its one owner, or `sqlite::memory:`, a database of its own. The
    /// leases of an earlier owner's workers are over then.
    ///
    /// # Errors
    /// [`Error::Owned`] if another process has the file open; [`Error::ClockWouldGoBack`] where the clock is a manual one.
    pub async fn connect(url: &str, options: &Options) -> Result<Self, Error> {
        let connect = parse(url)?;
        if in_memory(url) {
            // The database is gone when its last connection closes, so the only one is never given up.
            let only = pool(connect, 1, options.timeout).await?;
            let clock = OwnersClock::of(options.clock.as_ref(), &only).await?;
            return Ok(Self::assemble(only.clone(), only, Some(clock), None, options));
        }
        let path = connect.get_filename().to_owned();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(folder)
                .await
                .map_err(|error| Error::Unavailable(error.into()))?;
        }
        let owner = Owner::acquire(&path)?;
        let connect = connect
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let write = pool(connect.clone(), 1, options.timeout).await?;
        let read = pool(connect.pragma("query_only", "1"), READERS, options.timeout).await?;
        let clock = OwnersClock::of(options.clock.as_ref(), &read).await?;
        if options.clock.is_some() {
            refuse_to_go_back(&read, clock.now()).await?;
        }
        // Before anyone can register with this one.
        end_leases_of_earlier_owners(&write, clock.now()).await?;
        Ok(Self::assemble(write, read, Some(clock), Some(owner), options))
    }

    /// Opens a file beside its owner, for looking only: every write fails.
    pub async fn open_read_only(url: &str, options: &Options) -> Result<Self, Error> {
        let connect = parse(url)?;
        if in_memory(url) {
            return Err(Error::Url("a memory database cannot be opened from outside".to_owned()));
        }
        let connect = connect.read_only(true).pragma("query_only", "1");
        let only = pool(connect, READERS, options.timeout).await?;
        Ok(Self::assemble(only.clone(), only, None, None, options))
    }

    fn assemble(
        write: SqlitePool,
        read: SqlitePool,
        clock: Option<OwnersClock>,
        owner: Option<Owner>,
        options: &Options,
    ) -> Self {
        Self {
            write,
            read,
            clock,
            signals: broadcast::Sender::new(SIGNAL_BACKLOG),
            limits: options.limits,
            rated: RatedTargets::default(),
            compiled: Arc::default(),
            owner: Mutex::new(owner.map(Arc::new)),
        }
    }

    /// The write lock is taken at once: a transaction that read first and then wrote could find it taken.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        self.write.begin_with("BEGIN IMMEDIATE").await.map_err(sql)
    }

    pub(super) async fn shut(&self) {
        self.read.close().await;
        self.write.close().await;
        self.owner.lock().take();
    }
}

fn parse(url: &str) -> Result<SqliteConnectOptions, Error> {
    SqliteConnectOptions::from_str(url).map_err(|error| Error::Url(error.to_string()))
}

/// As sqlx reads it: `sqlite::memory:`, or any name with `mode=memory`.
fn in_memory(url: &str) -> bool {
    let rest = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let (name, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    name == ":memory:" || parameters.split('&').any(|parameter| parameter == "mode=memory")
}

async fn pool(connect: SqliteConnectOptions, connections: u32, timeout: Duration) -> Result<SqlitePool, Error> {
    let connect = connect
        .disable_statement_logging()
        .busy_timeout(timeout)
        .row_buffer_size(ROW_BUFFER)
        .statement_cache_capacity(PREPARED_STATEMENTS)
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "MEMORY");
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(timeout)
        .connect_with(connect)
        .await
        .map_err(sql)
}
