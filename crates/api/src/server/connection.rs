//! One connection, from the handshake to its end.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Of the headers of a request. HTTP/1 is bounded by its read buffer, and refuses more with 431.
const HTTP2_HEADERS_MAX_BYTES: u32 = 16 << 10;
const READ_BUFFER_BYTES: usize = 16 << 10;
const HTTP2_STREAMS_MAX: u32 = 256;
/// A peer that does not answer a ping is gone.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);

pub(super) enum Protocol {
    Plain(TcpStream),
    Tls(TcpStream, TlsAcceptor),
}

/// Serves requests until the peer or the process ends the connection.
pub(super) async fn serve(protocol: Protocol, router: Router, header_timeout: Duration, watcher: Watcher) {
    match protocol {
        Protocol::Plain(stream) => exchange(stream, false, router, header_timeout, watcher).await,
        Protocol::Tls(stream, acceptor) => match tokio::time::timeout(header_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                exchange(stream, http2, router, header_timeout, watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

/// The version is settled before: hyper's guess by the first bytes has no deadline, and a client that sends none would
/// keep its place for ever. So HTTP/2 is spoken where TLS negotiated it.
///
/// The deadline for headers also ends a connection that is idle for so long, as the servers of other frameworks do.
async fn exchange<S>(stream: S, http2: bool, router: Router, header_timeout: Duration, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(READ_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HTTP2_HEADERS_MAX_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .keep_alive_interval(HTTP2_PING_EVERY);
    let builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Errors here are those of peers: broken requests, broken connections.
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
