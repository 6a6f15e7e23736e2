//! From a URL to connections that know their schema and their limits.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::database::Database;
use super::server::Server;
use super::{PostgresStore, failure};
use crate::{Error, Options};

/// A statement that waits longer for a lock gives up and is repeated: its locks must not make others wait in turn.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How much longer than a transaction may take the server waits for its next statement. A process that stands still ends nothing by
/// itself: its rows would stay locked for all others until it goes on.
const STANDSTILL_GRACE: Duration = Duration::from_secs(2);

/// An idle connection is asked whether it still stands before it is used again; a busy one shows it by itself.
const TRUSTED_WHILE_IDLE: Duration = Duration::from_secs(1);

impl PostgresStore {
    /// Connects once, so that a wrong URL is found here and not by the first request.
    pub(crate) async fn connect(url: &str, options: &Options) -> Result<Self, Error> {
        check_schema_name(&options.schema)?;
        let connect = connect_options(url, options)?;
        try_once(&connect, options.timeout).await?;
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > TRUSTED_WHILE_IDLE {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(connect.clone())
            .await
            .map_err(failure::error)?;
        let database = Database::new(pool, connect, options);
        Ok(Self { database })
    }
}

/// The pool keeps trying and then tells only that it ran out of time; the first try tells why.
async fn try_once(connect: &PgConnectOptions, patience: Duration) -> Result<(), Error> {
    let server = Server::of(connect, patience);
    let connecting = async { connect.connect().await.map_err(|error| server.unreached(error)) };
    let connection = server.in_time(connecting).await.map_err(failure::error)?;
    // It is closed as soon as it is dropped; how that goes is nobody's business.
    let _ = timeout(patience, connection.close()).await;
    Ok(())
}

fn connect_options(url: &str, options: &Options) -> Result<PgConnectOptions, Error> {
    // The error of the parser may repeat a part of the URL, and so a password.
    let connect = PgConnectOptions::from_str(url)
        .map_err(|_| Error::Url("it must look like postgres://user:password@host:5432/database".to_owned()))?;
    Ok(connect
        .application_name("orchestratum")
        .options([
            ("search_path", options.schema.clone()),
            ("jit", "off".to_owned()),
            // That something exists already is what `IF NOT EXISTS` is for; a warning is told.
            ("client_min_messages", "warning".to_owned()),
            ("lock_timeout", LOCK_TIMEOUT.as_millis().to_string()),
            ("statement_timeout", options.timeout.as_millis().to_string()),
            (
                "idle_in_transaction_session_timeout",
                (options.timeout + STANDSTILL_GRACE).as_millis().to_string(),
            ),
        ])
        .disable_statement_logging())
}

/// The name stands in a statement that creates it, so it must be a plain one.
fn check_schema_name(name: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=63).contains(&name.len()) && name.bytes().all(plain) && !name.as_bytes()[0].is_ascii_digit() {
        Ok(())
    } else {
        Err(Error::Url(format!(
            "the schema must match [a-z_][a-z0-9_]{{0,62}}, not {name:?}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_is_a_plain_identifier() {
        for name in ["orchestratum", "_a1", &"x".repeat(63)] {
            assert!(check_schema_name(name).is_ok(), "{name}");
        }
        for name in ["", "1a", "A", "a b", "a\"", "a;b", &"x".repeat(64)] {
            assert!(check_schema_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_unusable_url_is_not_repeated() {
        let error = connect_options("postgres://user:secret@host:port/", &Options::default()).expect_err("no port");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
