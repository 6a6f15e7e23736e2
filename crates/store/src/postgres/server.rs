//! The server in the words of an error: where it is, and how long it had. Never the user or the password.

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

#[derive(Debug, Clone)]
pub(super) struct Server {
    place: Arc<str>,
    patience: Duration,
}

impl Server {
    pub(super) fn of(connect: &PgConnectOptions, patience: Duration) -> Self {
        let place = match connect.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        Self {
            place: place.into(),
            patience,
        }
    }

    /// The same server, for work that takes another time.
    pub(super) fn with_patience(&self, patience: Duration) -> Self {
        Self {
            place: Arc::clone(&self.place),
            patience,
        }
    }

    pub(super) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        timeout(self.patience, answer)
            .await
            .unwrap_or_else(|_| Err(self.silent()))
    }

    /// The answer did not come in time.
    pub(super) fn silent(&self) -> sqlx::Error {
        let Self { place, patience } = self;
        timed_out(format!("{place} did not answer within {} s", patience.as_secs_f64()))
    }

    /// A transaction whose answer was lost had not ended in time.
    pub(super) fn undecided(&self) -> sqlx::Error {
        let Self { place, patience } = self;
        timed_out(format!(
            "{place} did not end a transaction within {} s",
            patience.as_secs_f64()
        ))
    }

    /// The pool had no connection to give. It tells no more than that: it tries again in silence.
    pub(super) fn no_connection(&self, connections: u32) -> sqlx::Error {
        let Self { place, patience } = self;
        timed_out(format!(
            "no connection to {place} within {} s: it does not answer, or all {connections} connections are busy",
            patience.as_secs_f64()
        ))
    }

    /// What the network says does not tell of whom.
    pub(super) fn unreached(&self, error: sqlx::Error) -> sqlx::Error {
        match error {
            sqlx::Error::Io(error) => sqlx::Error::Io(Error::new(error.kind(), format!("{}: {error}", self.place))),
            error => error,
        }
    }
}

fn timed_out(text: String) -> sqlx::Error {
    sqlx::Error::Io(Error::new(ErrorKind::TimedOut, text))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn an_error_names_the_place_and_the_time_but_no_password() {
        let connect = PgConnectOptions::from_str("postgres://user:secret@db.example:6432/tasks").expect("valid");
        let server = Server::of(&connect, Duration::from_millis(2_500));
        let refused = sqlx::Error::Io(ErrorKind::ConnectionRefused.into());
        for (error, expected) in [
            (server.silent(), "db.example:6432 did not answer within 2.5 s"),
            (server.no_connection(7), "no connection to db.example:6432 within 2.5 s"),
            (server.no_connection(7), "all 7 connections are busy"),
            (server.unreached(refused), "db.example:6432: connection refused"),
        ] {
            let text = error.to_string();
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("secret") && !text.contains("user"), "{text}");
        }
    }
}
