//! What can go wrong between us and a database. Losing a race is not among it: that is a named outcome.

use orchestratum_core::Timestamp;
use orchestratum_core::saga::DefinitionName;

/// A failure of the database, or of what it holds.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, is shutting down, is read-only, or did not answer in time. Worth trying again later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// It refused the data itself (SQL classes 22, 23 and 54). The same data will be refused again.
    #[error("the database refused the data")]
    Rejected(#[source] sqlx::Error),
    /// A stored value is not one we write. The row needs a person.
    #[error("{table}.{column} of row {row} is damaged: {detail}")]
    Corrupt {
        table: &'static str,
        column: &'static str,
        row: String,
        detail: String,
    },
    /// What one call would hold in memory is too large, and it is of several: fewer at once will do. Nothing was changed.
    #[error("this is too large for one call")]
    TooMuchAtOnce,
    /// Versions of definitions that are to be compiled while nothing is locked. The store does it and begins again, so nobody
    /// outside sees it.
    #[error("definitions are not compiled: {0:?}")]
    NotCompiled(Vec<(DefinitionName, u32)>),
    /// A migration failed, or one that was applied is not the one this program knows by its number.
    #[error("the schema cannot be brought to the version this program needs")]
    Migration(#[source] sqlx::migrate::MigrateError),
    #[error(
        "the schema is at version {found}, this program needs {needed}: run `orchestratum migrate` or start the api"
    )]
    SchemaVersion { found: i64, needed: i64 },
    /// Another process owns the SQLite file.
    #[error("{path} is in use by process {owner}: an SQLite database has one owner process")]
    Owned { path: String, owner: String },
    /// A clock that is moved by hand never goes back, also not from one process to the next.
    #[error("the database was last used at {latest}: a clock that begins at {begins} would go back")]
    ClockWouldGoBack { begins: Timestamp, latest: Timestamp },
    #[error("the database URL is not usable: {0}")]
    Url(String),
    /// Anything else, such as a statement that is wrong: a fault of ours.
    #[error("a statement failed")]
    Statement(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TooMuchAtOnce)
    }

    /// Whether fewer at once may do: it took too long, or is too large.
    pub fn is_of_many(&self) -> bool {
        self.is_timeout() || matches!(self, Self::TooMuchAtOnce)
    }

    /// Whether it took too long: the database may be away, or what was asked for is too much at once.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Unavailable(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut)
    }
}
