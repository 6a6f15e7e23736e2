//! From the errors of sqlx to ours.

use crate::Error;

/// What SQLite's primary result codes mean to a caller (<https://www.sqlite.org/rescode.html>).
pub(super) fn sql(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) => {
            let extended: i64 = database.code().and_then(|code| code.parse().ok()).unwrap_or(0);
            match extended & 0xff {
                // BUSY, LOCKED, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
                5 | 6 | 8 | 9 | 10 | 13 | 14 | 15 => Error::Unavailable(error),
                // TOOBIG, CONSTRAINT, MISMATCH, RANGE
                18 | 19 | 20 | 25 => Error::Rejected(error),
                _ => Error::Statement(error),
            }
        }
        // There is no server that could be away: others write or read for longer than `database.timeout_seconds`.
        sqlx::Error::PoolTimedOut => Error::Unavailable(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "the file was busy for too long",
        ))),
        sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Error::Unavailable(error),
        _ => Error::Statement(error),
    }
}
