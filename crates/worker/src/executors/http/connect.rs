//! The one place where a connection of an `http` task is opened. The name is resolved, its addresses are checked, and one
//! of these very addresses is connected to, so a name that answers otherwise the next time changes nothing.
//!
//! A connector of our own, because the hook for names in ready-made clients sees neither addresses that stand in a URL
//! nor the port.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tower::Service;

use super::guard::{Guard, Refused};
use super::received::Metered;

/// How long the name of a host may take to be resolved, and one of its addresses to be connected to.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many addresses of a host are tried: a name may have hundreds, and each may swallow what is sent to it.
const TRIED: usize = 4;

/// How many names are looked up at a time. A look-up that was given up keeps its thread for as long as the machine's resolver
/// is patient, and the threads are those in which the ends of programs are seen to.
const LOOK_UPS: usize = 32;

/// Finds the addresses of a host.
#[async_trait]
pub(super) trait Resolve: Send + Sync {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks the machine, in a thread that waits for its answer.
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// As the machine does it.
pub(super) struct System {
    look_up: Arc<LookUp>,
    places: Arc<Semaphore>,
}

impl System {
    pub(super) fn new() -> Self {
        Self::looking_up_by(Arc::new(|host: &str| {
            let found = (host, 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        }))
    }

    fn looking_up_by(look_up: Arc<LookUp>) -> Self {
        Self {
            look_up,
            places: Arc::new(Semaphore::new(LOOK_UPS)),
        }
    }
}

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = place.await.expect("the semaphore is never closed");
        let (look_up, host) = (Arc::clone(&self.look_up), host.to_owned());
        let looking_up = spawn_blocking(move || {
            // Until the thread is free again, not only until nobody waits any longer.
            let _place = place;
            look_up(&host)
        });
        looking_up
            .await
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the name was not found")]
    NotFound(#[source] io::Error),
    #[error("no connection to port {port}")]
    Unreachable { port: u16, source: io::Error },
    #[error("it was not connected within {seconds} s")]
    TooSlow { seconds: f64 },
}

#[derive(Clone)]
pub(super) struct Connector {
    guard: Arc<Guard>,
    resolver: Arc<dyn Resolve>,
    opened: Arc<AtomicUsize>,
}

impl Connector {
    pub(super) fn new(guard: Guard, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            guard: Arc::new(guard),
            resolver,
            opened: Arc::default(),
        }
    }

    /// How many connections were opened so far, by all clones of this.
    pub(super) fn opened(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.opened)
    }

    async fn connect(&self, uri: &Uri) -> Result<TcpStream, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let default_port = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = self.addresses(host).await?;
        let permitted = self.guard.permitted(host, port, &addresses)?;
        let mut trouble = io::Error::other("it has no address");
        for address in permitted.into_iter().take(TRIED) {
            match in_time(TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(stream) => {
                    // A request is written at once: nothing is to wait for more of it.
                    let _ = stream.set_nodelay(true);
                    self.opened.fetch_add(1, Ordering::Relaxed);
                    return Ok(stream);
                }
                Err(error) => trouble = error,
            }
        }
        Err(ConnectError::Unreachable { port, source: trouble })
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = literal.unwrap_or(host).parse() {
            return Ok(vec![address]);
        }
        in_time(self.resolver.resolve(host))
            .await
            .map_err(ConnectError::NotFound)
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Metered>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let connected = connector.connect(&uri).await;
            connected.map(|stream| TokioIo::new(Metered::new(stream)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::future::join_all;
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn look_ups_that_nobody_waits_for_any_longer_keep_only_so_many_threads() {
        let (release, silent_server) = mpsc::channel::<()>();
        let silent_server = Mutex::new(silent_server);
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let system = System::looking_up_by(Arc::new(move |_: &str| {
            counted.fetch_add(1, Ordering::Relaxed);
            // Until the other end is dropped.
            let _ = silent_server.lock().recv();
            Ok(Vec::new())
        }));
        let impatient = || timeout(Duration::from_millis(300), system.resolve("a.example"));
        let found = join_all((0..2 * LOOK_UPS).map(|_| impatient())).await;
        assert!(found.iter().all(Result::is_err), "nobody was answered");
        assert!(impatient().await.is_err(), "those threads are not free yet");
        assert!(begun.load(Ordering::Relaxed) <= LOOK_UPS);
        drop(release);
        let found = timeout(Duration::from_secs(30), system.resolve("a.example")).await;
        found.expect("there is room again").expect("an answer");
    }

    #[tokio::test]
    async fn the_machine_knows_itself() {
        let found = System::new().resolve("localhost").await.expect("it has addresses");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
