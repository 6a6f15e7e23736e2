//! The one place where a connection of an `http` task is opened. The name is resolved, its addresses are checked, and one
//! of these very addresses is connected to, so a name that answers otherwise the next time changes nothing.
//!
//! A connector of our own, because the hook for names in ready-made clients sees neither addresses that stand in a URL
//! nor the port.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use super::guard::{Guard, Refused};

/// How long the name of a host may take to be resolved, and one of its addresses to be connected to.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many addresses of a host are tried: a name may have hundreds, and each may swallow what is sent to it.
const TRIED: usize = 4;

/// Finds the addresses of a host.
#[async_trait]
pub(super) trait Resolve: Send + Sync {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the machine does it.
pub(super) struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
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
}

#[derive(Clone)]
pub(super) struct Connector {
    guard: Arc<Guard>,
    resolver: Arc<dyn Resolve>,
}

impl Connector {
    pub(super) fn new(guard: Guard, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            guard: Arc::new(guard),
            resolver,
        }
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
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map(TokioIo::new) })
    }
}
