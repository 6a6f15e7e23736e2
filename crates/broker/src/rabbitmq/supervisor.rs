//! Keeps one connection alive.

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use crate::Error;
use crate::backoff::Backoff;
use crate::health::Health;

/// The current link of one role, if there is one.
#[derive(Debug)]
pub(super) struct Supervisor {
    current: watch::Receiver<Option<Arc<Link>>>,
}

impl Supervisor {
    /// The supervisor, and the task that does its work until the token is cancelled. `name` is what an operator sees in
    /// the broker's list of connections.
    pub(super) fn new(
        role: &'static str,
        name: String,
        uri: AMQPUri,
        health: Arc<Health>,
        disconnecting: CancellationToken,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        // From the first moment: `/health/ready` is asked early.
        health.broken(&part(role), &Error::Disconnected);
        let (links, current) = watch::channel(None);
        let run = async move {
            tokio::select! {
                () = keep_connected(role, &name, &uri, &links, &health) => {}
                () = disconnecting.cancelled() => {}
            }
            if let Some(link) = links.send_replace(None) {
                link.close().await;
            }
        };
        (Arc::new(Self { current }), run)
    }

    /// The link, if there is one now.
    pub(super) fn link(&self) -> Result<Arc<Link>, Error> {
        let current = self.current.borrow().clone();
        current.filter(|link| !link.has_ended()).ok_or(Error::Disconnected)
    }

    /// The link as soon as there is one; never, if there will be none any more.
    pub(super) async fn connected(&self) -> Arc<Link> {
        let mut current = self.current.clone();
        let usable = |link: &Option<Arc<Link>>| link.as_ref().is_some_and(|link| !link.has_ended());
        let link = match current.wait_for(usable).await {
            Ok(link) => link.clone(),
            Err(_stopped) => None,
        };
        match link {
            Some(link) => link,
            None => std::future::pending().await,
        }
    }
}

/// Its name in the health report.
fn part(role: &str) -> String {
    format!("{role} connection")
}

async fn keep_connected(
    role: &'static str,
    name: &str,
    uri: &AMQPUri,
    links: &watch::Sender<Option<Arc<Link>>>,
    health: &Health,
) {
    let part = part(role);
    let mut backoff = Backoff::new();
    loop {
        let lasted = match Link::open(uri, name).await {
            Ok(link) => {
                let since = Instant::now();
                tracing::info!(role, "connected to the broker");
                links.send_replace(Some(Arc::clone(&link)));
                health.works(&part);
                let reason = link.watch().await;
                tracing::warn!(role, reason, "the connection to the broker is lost");
                health.broken_because(&part, reason);
                links.send_replace(None);
                metrics::counter!("orchestratum_broker_reconnects_total", "role" => role).increment(1);
                since.elapsed()
            }
            Err(error) => {
                tracing::warn!(
                    role,
                    error = crate::health::describe(&error),
                    "the broker cannot be reached"
                );
                health.broken(&part, &error);
                Duration::ZERO
            }
        };
        tokio::time::sleep(backoff.pause_after(lasted)).await;
    }
}
