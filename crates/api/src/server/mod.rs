//! The listeners: plain HTTP, and HTTPS with the same router.
//!
//! Connections are counted before they are accepted: beyond the limit they wait in the backlog of the socket, which
//! costs this process no file descriptor. Headers, TLS handshakes, writes and shutdown have deadlines; bodies have theirs
//! where they are read.

mod activity;
mod connection;
mod patience;
mod rest;
mod taken;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use orchestratum_engine::ApiSettings;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::{Limits, Protocol, serve};
use patience::Patience;
pub(crate) use tls::Error as TlsError;

/// After a failed accept, such as with no file descriptor left: trying at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("HTTPS cannot be set up")]
    Tls(#[from] TlsError),
}

/// Where the listeners really are, port 0 resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub plain: SocketAddr,
    pub tls: Option<SocketAddr>,
}

/// Bound, and not serving yet: whoever connects waits in the backlog.
pub(crate) struct Server {
    plain: TcpListener,
    tls: Option<(TcpListener, TlsAcceptor)>,
    addresses: Addresses,
    patience: Patience,
    write_timeout: Duration,
    shutdown: Duration,
}

impl Server {
    pub(crate) async fn bind(settings: &ApiSettings) -> Result<Self, Error> {
        let (plain, plain_address) = listen(settings.listen).await?;
        let tls = match settings.tls.listen {
            None => None,
            Some(address) => {
                let acceptor = tls::acceptor(&settings.tls, address)?;
                Some((listen(address).await?, acceptor))
            }
        };
        Ok(Self {
            plain,
            addresses: Addresses {
                plain: plain_address,
                tls: tls.as_ref().map(|((_, address), _)| *address),
            },
            tls: tls.map(|((listener, _), acceptor)| (listener, acceptor)),
            patience: Patience::new(settings),
            write_timeout: Duration::from_secs_f64(settings.write_timeout_seconds),
            shutdown: Duration::from_secs_f64(settings.shutdown_seconds),
        })
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop`, then lets open requests end, for as long as the settings say.
    ///
    /// Boxed, so that it is compiled here, once, and not again in every program that serves.
    pub(crate) fn run(self, router: Router, stop: CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.serve(router, stop))
    }

    async fn serve(self, router: Router, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let accept = Accept {
            router,
            places: self.patience.places(),
            limits: Limits {
                patience: self.patience,
                writes: self.write_timeout,
                stop,
                cut: cut.clone(),
            },
            connections: &connections,
        };
        // It drops the listeners when it ends: new connections are refused from then on.
        accept.run(self.plain, self.tls).await;
        connections.close();
        if tokio::time::timeout(self.shutdown, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "some requests did not end in time and are cut off"
            );
            cut.cancel();
            connections.wait().await;
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let bind = |cause| Error::Bind { address, cause };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    Ok((listener, bound))
}

/// The accept loop's surroundings.
struct Accept<'a> {
    router: Router,
    places: Arc<Semaphore>,
    limits: Limits,
    connections: &'a TaskTracker,
}

impl Accept<'_> {
    /// One loop for both listeners: it holds one place while nobody comes, and whoever comes first gets it.
    async fn run(&self, plain: TcpListener, tls: Option<(TcpListener, TlsAcceptor)>) {
        loop {
            let place = tokio::select! {
                () = self.limits.stop.cancelled() => return,
                place = Arc::clone(&self.places).acquire_owned() => place.expect("the semaphore is never closed"),
            };
            let accepted = tokio::select! {
                () = self.limits.stop.cancelled() => return,
                accepted = next(&plain, tls.as_ref()) => accepted,
            };
            match accepted {
                Ok(protocol) => {
                    let connection = serve(protocol, self.router.clone(), self.limits.clone());
                    self.connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The next connection to either listener.
async fn next(plain: &TcpListener, tls: Option<&(TcpListener, TlsAcceptor)>) -> io::Result<Protocol> {
    let (stream, acceptor) = match tls {
        None => (plain.accept().await?.0, None),
        Some((listener, acceptor)) => tokio::select! {
            accepted = plain.accept() => (accepted?.0, None),
            accepted = listener.accept() => (accepted?.0, Some(acceptor)),
        },
    };
    Ok(protocol(stream, acceptor.cloned()))
}

fn protocol(stream: TcpStream, tls: Option<TlsAcceptor>) -> Protocol {
    // Answers are written in one piece: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    match tls {
        None => Protocol::Plain(stream),
        Some(acceptor) => Protocol::Tls(stream, acceptor),
    }
}
