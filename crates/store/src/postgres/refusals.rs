//! Notices that a server refuses connections, while the pool goes on trying and keeps the reason to itself.

use std::io;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How long a caller waits for the pool before anyone looks why, and about how often that is looked at, for all callers together:
/// a server that is only busy must not have the looking on top.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A restart takes no longer. Those who wait get over it.
const RESTART: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Refusals {
    /// `None` for a Unix socket: whoever connects to that is answered at once.
    endpoint: Option<(String, u16)>,
    patience: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    looked_at: Option<Instant>,
    since: Option<Instant>,
}

impl Refusals {
    pub(super) fn of(connect: &PgConnectOptions, patience: Duration) -> Self {
        let host = connect.get_host();
        let is_socket = connect.get_socket().is_some() || host.starts_with('/');
        Self {
            endpoint: (!is_socket).then(|| (host.to_owned(), connect.get_port())),
            patience: patience.min(RESTART),
            seen: Mutex::default(),
        }
    }

    /// Completes with the refusal when the server has refused for longer than a restart takes.
    pub(super) async fn lasting(&self) -> io::Error {
        let Some(endpoint) = &self.endpoint else {
            return std::future::pending().await;
        };
        loop {
            sleep(LOOK_EVERY).await;
            // Held over the look: those beside wait for what it brings, and one that is given up has left nothing.
            let mut seen = self.seen.lock().await;
            let ago = seen.looked_at.map(|at| at.elapsed());
            // Nobody else looked a moment ago.
            if ago.is_none_or(|ago| ago >= LOOK_EVERY / 2) {
                // What was seen long before is another outage.
                let before = seen.since.filter(|_| ago.is_some_and(|ago| ago <= LOOK_EVERY * 4));
                let refused = is_refused(endpoint).await;
                seen.since = refused.then(|| before.unwrap_or_else(Instant::now));
                seen.looked_at = Some(Instant::now());
            }
            if seen.since.is_some_and(|since| since.elapsed() >= self.patience) {
                return io::ErrorKind::ConnectionRefused.into();
            }
        }
    }
}

/// A server that is there sees a connection that ends before it has said a word, as those of load balancers do.
async fn is_refused((host, port): &(String, u16)) -> bool {
    let connected = timeout(LOOK_EVERY, TcpStream::connect((host.as_str(), *port))).await;
    matches!(connected, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn refusals(port: u16, patience: Duration) -> Refusals {
        let connect = PgConnectOptions::new().host("127.0.0.1").port(port);
        Refusals::of(&connect, patience)
    }

    #[tokio::test]
    async fn a_refusal_that_lasts_is_told_and_a_server_that_is_there_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let there = refusals(port, Duration::ZERO);
        assert!(timeout(LOOK_EVERY * 3, there.lasting()).await.is_err());
        drop(listener);
        let gone = refusals(port, Duration::from_millis(1));
        let error = timeout(LOOK_EVERY * 20, gone.lasting()).await.expect("it is told");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn nobody_waits_longer_than_a_restart_takes_or_than_the_settings_say() {
        assert_eq!(refusals(1, Duration::from_secs(10)).patience, RESTART);
        assert_eq!(refusals(1, Duration::from_secs(1)).patience, Duration::from_secs(1));
        let socket = PgConnectOptions::new().host("/var/run/postgresql");
        assert!(Refusals::of(&socket, RESTART).endpoint.is_none());
    }
}
