//! One connection, from the handshake to its end.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Counted};
use super::patience::Patience;
use super::taken::Taken;

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

/// What ends a connection.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// For a TLS handshake, for requests to come.
    pub(super) patience: Patience,
    /// For a client to take what is sent to it.
    pub(super) writes: Duration,
    /// From then on no request is taken up.
    pub(super) stop: CancellationToken,
    /// From then on none goes on.
    pub(super) cut: CancellationToken,
}

/// Serves requests until the peer or the process ends the connection.
pub(super) async fn serve(protocol: Protocol, router: Router, limits: Limits) {
    match protocol {
        Protocol::Plain(stream) => exchange(Taken::new(stream, limits.writes), false, router, limits).await,
        Protocol::Tls(stream, acceptor) => {
            let handshake = acceptor.accept(Taken::new(stream, limits.writes));
            let accepted = tokio::select! {
                accepted = tokio::time::timeout(limits.patience.headers(), handshake) => accepted,
                // It has no request yet that could end in good order.
                () = limits.stop.cancelled() => return,
            };
            match accepted {
                Ok(Ok(stream)) => {
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    exchange(stream, http2, router, limits).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// The version is settled before: hyper's guess by the first bytes has no deadline, and a client that sends none would
/// keep its place for ever. So HTTP/2 is spoken where TLS negotiated it.
///
/// Idle connections are ended by our own deadline: hyper's for HTTP/1 knows no difference between the headers of a
/// request and the pause before it, and HTTP/2 has none.
async fn exchange<S>(stream: S, http2: bool, router: Router, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .header_read_timeout(None)
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
    let activity = Activity::default();
    let service = Counted {
        router,
        activity: activity.clone(),
        http2,
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let mut leaving = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // Errors here are those of peers: broken requests, broken connections.
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = activity.stalled_for(limits.writes), if http2 => {
                tracing::debug!("a client did not take its answers");
                return;
            }
            () = activity.idle_for_too_long(&limits.patience, leaving) => {
                // HTTP/1 knows no farewell but the end of the connection.
                if leaving || !http2 {
                    return;
                }
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = limits.stop.cancelled(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = limits.cut.cancelled() => return,
        }
    }
}
