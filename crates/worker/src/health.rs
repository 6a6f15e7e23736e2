//! `/health/live`, `/health/ready` and `/metrics` of a worker.
//!
//! Three fixed answers for probes and scrapers need no HTTP library: one request a connection, a bounded head, a
//! deadline, `Connection: close`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

pub(crate) type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

const HEAD_MAX_BYTES: usize = 8 * 1024;
const DEADLINE: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 32;

/// Answers until the worker has left. An address that is taken is no reason not to work: several workers may share a
/// machine and its configuration.
pub(crate) async fn serve(
    address: SocketAddr,
    shared: Arc<Shared>,
    render: Option<RenderMetrics>,
    stop: CancellationToken,
) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(
                %address,
                %error,
                "this worker answers no health checks and shows no metrics, and `--health` asks whoever listens there: give \
                 each worker of a machine a `worker.listen` of its own, or an empty one"
            );
            return;
        }
    };
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (Ok((stream, _)), Ok(permit)) = (accepted, Arc::clone(&connections).try_acquire_owned()) else {
            // Out of descriptors, or too many at a time.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (shared, render) = (Arc::clone(&shared), render.clone());
        tokio::spawn(async move {
            let _ = timeout(DEADLINE, answer(stream, &shared, render.as_ref())).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, shared: &Shared, render: Option<&RenderMetrics>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= HEAD_MAX_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = route(&head, shared, render);
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

fn route(head: &[u8], shared: &Shared, render: Option<&RenderMetrics>) -> (&'static str, String) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["GET", "/health/live", _] => ("200 OK", "live\n".to_owned()),
        ["GET", "/health/ready", _] => match ready(shared) {
            Ok(()) => ("200 OK", format!("ready\nisolation: {}\n", shared.isolation)),
            Err(reason) => ("503 Service Unavailable", format!("{reason}\n")),
        },
        ["GET", "/metrics", _] => match render {
            Some(render) => ("200 OK", render()),
            None => ("404 Not Found", "this process keeps no metrics\n".to_owned()),
        },
        ["GET", _, _] => (
            "404 Not Found",
            "there are /health/live, /health/ready and /metrics\n".to_owned(),
        ),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    }
}

fn ready(shared: &Shared) -> Result<(), String> {
    if shared.life.borrow().is_none() {
        return Err("lease: the worker is not registered, or its lease could not be renewed".to_owned());
    }
    shared
        .engine
        .broker()
        .health()
        .map_err(|reason| format!("broker: {reason}"))
}
