//! What a failure of the database means: for the caller, and for the question whether to try again.

use std::borrow::Cow;

use sqlx::error::DatabaseError;

use crate::Error;

/// What is known about a statement that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It had none, and the same statement may succeed at once: a deadlock, a lock that took too long.
    NoneTryAgain,
    /// It had none, and will not succeed soon.
    None,
    /// The connection broke, or the deadline passed: it may have been committed.
    Unknown,
}

fn state(error: &dyn DatabaseError) -> Cow<'_, str> {
    error.code().unwrap_or_default()
}

/// The server is going away, was told to end this connection, or has waited too long for the rest of a transaction.
fn ends_the_connection(code: &str) -> bool {
    code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
}

pub(super) fn effect(error: &sqlx::Error) -> Effect {
    match error {
        sqlx::Error::Database(database) => {
            let code = state(database.as_ref());
            match code.as_ref() {
                // serialization_failure, deadlock_detected, lock_not_available
                "40001" | "40P01" | "55P03" => Effect::NoneTryAgain,
                code if ends_the_connection(code) => Effect::Unknown,
                _ => Effect::None,
            }
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            Effect::Unknown
        }
        _ => Effect::None,
    }
}

pub(super) fn error(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) => {
            let code = state(database.as_ref());
            match code.as_ref() {
                "3D000" => Error::Url("the database it names does not exist: create it first".to_owned()),
                code if code.starts_with("28") => Error::Url("the server refuses this user or password".to_owned()),
                // read_only_sql_transaction, query_canceled, and the locks and deadlocks that outlasted our patience
                "25006" | "57014" | "40001" | "40P01" | "55P03" => Error::Unavailable(error),
                // insufficient resources, system errors
                code if ends_the_connection(code) || code.starts_with("53") || code.starts_with("58") => {
                    Error::Unavailable(error)
                }
                // values that do not fit, constraints, and more than PostgreSQL takes, such as too much for an index
                code if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => Error::Rejected(error),
                _ => Error::Statement(error),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unavailable(error),
        _ => Error::Statement(error),
    }
}

/// Whether a unique constraint of this name was met.
pub(super) fn is_conflict_on(error: &sqlx::Error, constraint: &str) -> bool {
    error
        .as_database_error()
        .is_some_and(|database| database.is_unique_violation() && database.constraint() == Some(constraint))
}
