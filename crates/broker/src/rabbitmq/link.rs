//! One connection, and the certainty that it ends.
//!
//! lapin runs each connection on a thread that ends only when its socket does: a peer that no longer answers, or a
//! connection the broker has blocked, would keep it for ever. So we open the socket ourselves and keep a second handle
//! to it; shutting that down ends the thread whatever state the protocol is in.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind, Event};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::stream::{self, BrokerStream};
use crate::Error;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// For everything the broker answers: opening, declaring, consuming, confirming.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Politeness towards a broker we are leaving anyway.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// lapin announces most ends of a connection; this finds the others.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// A connection and everything on it. Once [ended](Self::ended) it never works again.
pub(crate) struct Link {
    connection: Connection,
    socket: Socket,
    ended: CancellationToken,
    reason: Mutex<Option<String>>,
    blocked: watch::Sender<bool>,
    /// Channels that wait for the next publication.
    pub(crate) spare_channels: Mutex<Vec<Channel>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("ended", &self.ended.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The second handle to a connection's socket. Its end is the connection's end.
#[derive(Debug, Default)]
struct Socket(Arc<Mutex<Option<TcpStream>>>);

impl Socket {
    fn shut(&self) {
        if let Some(socket) = self.0.lock().take() {
            // Fails only when the peer was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shut();
    }
}

impl Link {
    /// Connects, within a deadline, and leaves nothing behind if that fails.
    pub(crate) async fn open(uri: &AMQPUri, name: &str) -> Result<Arc<Self>, Error> {
        let socket = Socket::default();
        let connect = open_socket(uri.clone(), Arc::clone(&socket.0), name);
        let connection = timeout(CONNECT_DEADLINE, connect)
            .await
            .map_err(|_elapsed| Error::UnreachedInTime {
                place: place(uri),
                seconds: CONNECT_DEADLINE.as_secs(),
            })?
            .map_err(|cause| unreached(place(uri), cause))?;
        Ok(Arc::new(Self {
            connection,
            socket,
            ended: CancellationToken::new(),
            reason: Mutex::default(),
            blocked: watch::Sender::new(false),
            spare_channels: Mutex::default(),
        }))
    }

    /// Follows the connection until it ends, and says why.
    pub(crate) async fn watch(&self) -> String {
        let mut events = Box::pin(self.connection.events_listener());
        let mut check = tokio::time::interval(CHECK_PERIOD);
        while !self.ended.is_cancelled() {
            tokio::select! {
                () = self.ended.cancelled() => {}
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "the broker has blocked its publishers");
                        self.blocked.send_replace(true);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!("the broker takes messages again");
                        self.blocked.send_replace(false);
                    }
                    // Also said of channels, which their users look after.
                    Some(Event::Error(error)) => if !self.connection.status().connected() {
                        self.give_up(&error.to_string());
                    },
                    Some(_) => {}
                    None => self.give_up("the connection has ended"),
                },
                _ = check.tick() => if !self.connection.status().connected() {
                    self.give_up("the connection has ended");
                },
            }
        }
        self.reason.lock().clone().unwrap_or_default()
    }

    /// It does not work any more: ends it, so that the supervisor makes another.
    pub(crate) fn give_up(&self, reason: &str) {
        self.reason.lock().get_or_insert_with(|| reason.to_owned());
        self.ended.cancel();
        self.spare_channels.lock().clear();
        self.socket.shut();
    }

    /// Ends it politely.
    pub(crate) async fn close(&self) {
        // Whether the broker answers makes no difference.
        let _ = timeout(CLOSE_DEADLINE, self.connection.close(200, "OK".into())).await;
        self.give_up("closed");
    }

    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(crate) fn is_blocked(&self) -> bool {
        *self.blocked.borrow()
    }

    /// Returns when the broker takes no more messages, or the connection has ended.
    pub(crate) async fn unusable(&self) {
        let mut blocked = self.blocked.subscribe();
        tokio::select! {
            _ = blocked.wait_for(|blocked| *blocked) => {}
            () = self.ended.cancelled() => {}
        }
    }

    /// A deadline has passed without an answer. The connection is given up, unless the broker has said why it is silent.
    pub(crate) fn too_late(&self) -> Error {
        if !self.is_blocked() {
            self.give_up("the broker did not answer in time");
        }
        Error::Timeout {
            seconds: ANSWER_DEADLINE.as_secs(),
        }
    }

    pub(crate) async fn channel(&self) -> Result<Channel, Error> {
        self.within(self.connection.create_channel()).await
    }

    /// Waits for the broker's answer, within the deadline.
    pub(crate) async fn within<T>(&self, operation: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
        tokio::select! {
            answer = timeout(ANSWER_DEADLINE, operation) => match answer {
                Ok(answer) => answer.map_err(|error| {
                    if !self.connection.status().connected() {
                        self.give_up(&error.to_string());
                    }
                    Error::Refused(error)
                }),
                Err(_elapsed) => Err(self.too_late()),
            },
            () = self.ended() => Err(Error::Disconnected),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Before the connection's own drop, which would only ask its thread to say goodbye.
        self.socket.shut();
    }
}

/// Where the broker is, without what else its URL says.
pub(crate) fn place(uri: &AMQPUri) -> String {
    format!("{}:{}", uri.authority.host, uri.authority.port)
}

fn unreached(place: String, cause: lapin::Error) -> Error {
    let denied = matches!(
        cause.kind(),
        ErrorKind::ProtocolError(error)
            if matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED))
    );
    if denied {
        Error::Denied { place }
    } else {
        Error::Unreached { place, cause }
    }
}

async fn open_socket(
    uri: AMQPUri,
    second_handle: Arc<Mutex<Option<TcpStream>>>,
    name: &str,
) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let tokio = lapin::runtime::default_runtime()?;
    Connection::connector(
        uri,
        stream::runtime(),
        async move |uri: AMQPUri, _| {
            let host = uri.authority.host.as_str();
            // Runs on the connection's own thread, which must not outlive the caller's patience.
            let connected = timeout(CONNECT_DEADLINE, async {
                let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, uri.authority.port)).await?.collect();
                let stream = AsyncTcpStream::connect(&tokio, addresses).await?;
                if let AsyncTcpStream::Plain(stream) = &stream {
                    let handle = stream.get_ref().as_fd().try_clone_to_owned()?;
                    *second_handle.lock() = Some(TcpStream::from(handle));
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => stream.into_tls(host, OwnedTLSConfig::default().as_ref()).await,
                }
            });
            let stream = connected
                .await
                .map_err(|_elapsed| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
            Ok(AsyncTcpStream::Plain(BrokerStream::from(stream)))
        },
        properties,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_there_is_told_with_the_place_and_without_the_password() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = held.local_addr().expect("an address");
        drop(held);
        let uri = format!("amqp://user:secret@{address}/%2f").parse().expect("a URL");
        let error = Link::open(&uri, "test").await.expect_err("nobody listens");
        let told = crate::health::describe(&error);
        assert!(told.starts_with(&format!("no connection to {address}: ")), "{told}");
        assert!(!told.contains("secret") && !told.contains("user"), "{told}");
    }
}
