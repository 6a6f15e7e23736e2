//! From a URL to a store.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::SpecLimits;

use crate::postgres::PostgresStore;
use crate::sqlite::SqliteStore;
use crate::{Error, ManualClock, Store};

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The PostgreSQL schema that holds the tables; ignored by SQLite.
    pub schema: String,
    pub max_connections: u32,
    /// How long a caller waits for a free connection, and a statement for its answer.
    pub timeout: Duration,
    /// What follow-ups are held against when they are due.
    pub limits: SpecLimits,
    /// What tells the time in the place of an SQLite database, which has no clock of its own. PostgreSQL has one.
    pub clock: Option<ManualClock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: "orchestratum".to_owned(),
            max_connections: 10,
            timeout: Duration::from_secs(10),
            limits: SpecLimits::default(),
            clock: None,
        }
    }
}

/// Connects to `postgres://…`, `sqlite://path` or `sqlite::memory:`. Does not touch the schema: see
/// [`Maintenance::migrate`](crate::Maintenance::migrate).
pub async fn connect(url: &str, options: &Options) -> Result<Arc<dyn Store>, Error> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        if options.clock.is_some() {
            return Err(Error::Url(
                "PostgreSQL has a clock of its own: one that is moved by hand needs SQLite".to_owned(),
            ));
        }
        Ok(Arc::new(PostgresStore::connect(url, options).await?))
    } else if url.starts_with("sqlite:") {
        Ok(Arc::new(SqliteStore::connect(url, options).await?))
    } else {
        // The URL itself may hold a password: it is not repeated.
        Err(Error::Url("it must begin with postgres:// or sqlite:".to_owned()))
    }
}

/// The same for someone who only looks, such as `doctor`: an SQLite file that another process owns can be read, too.
pub async fn connect_read_only(url: &str, options: &Options) -> Result<Arc<dyn Store>, Error> {
    if url.starts_with("sqlite:") {
        Ok(Arc::new(SqliteStore::open_read_only(url, options).await?))
    } else {
        connect(url, options).await
    }
}
