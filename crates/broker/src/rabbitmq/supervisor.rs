//! Keeps one connection alive.

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::{self, Link};
use crate::Error;
use crate::backoff::Backoff;
use crate::health::Health;

/// An outage that lasts is told of again so often.
pub(super) const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What was said last of the broker: all connections to it meet the same, and it is said once.
#[derive(Debug, Default)]
pub(crate) struct Said(Mutex<Option<(String, Instant)>>);

impl Said {
    fn is_news(&self, text: &str) -> bool {
        self.is_news_at(text, Instant::now())
    }

    fn is_news_at(&self, text: &str, now: Instant) -> bool {
        let mut last = self.0.lock();
        let known = |(said, at): &(String, Instant)| said == text && now.duration_since(*at) < SAY_AGAIN;
        let is_news = !last.as_ref().is_some_and(known);
        if is_news {
            *last = Some((text.to_owned(), now));
        }
        is_news
    }
}

/// The current link of one role, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    current: watch::Receiver<Option<Arc<Link>>>,
}

impl Supervisor {
    /// The supervisor, and the task that does its work until the token is cancelled. `name` is what an operator sees in
    /// the broker's list of connections.
    pub(crate) fn new(
        role: &'static str,
        name: String,
        uri: AMQPUri,
        health: Arc<Health>,
        said: Arc<Said>,
        disconnecting: CancellationToken,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        // From the first moment: `/health/ready` is asked early.
        health.broken(&part(role), &Error::Disconnected);
        let (links, current) = watch::channel(None);
        let run = async move {
            tokio::select! {
                () = keep_connected(role, &name, &uri, &links, &health, &said) => {}
                () = disconnecting.cancelled() => {}
            }
            if let Some(link) = links.send_replace(None) {
                link.close().await;
            }
        };
        (Arc::new(Self { current }), run)
    }

    /// The link, if there is one now.
    pub(crate) fn link(&self) -> Result<Arc<Link>, Error> {
        let current = self.current.borrow().clone();
        current.filter(|link| !link.has_ended()).ok_or(Error::Disconnected)
    }

    /// The link as soon as there is one; never, if there will be none any more.
    pub(crate) async fn connected(&self) -> Arc<Link> {
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
    said: &Said,
) {
    let (part, place) = (part(role), link::place(uri));
    let mut backoff = Backoff::new();
    loop {
        let lasted = match Link::open(uri, name).await {
            Ok(link) => {
                let since = Instant::now();
                if said.is_news("connected") {
                    tracing::info!(place, "connected to the broker");
                }
                links.send_replace(Some(Arc::clone(&link)));
                health.works(&part);
                let reason = link.watch().await;
                if said.is_news(&reason) {
                    tracing::warn!(place, reason, "the connection to the broker is lost");
                }
                health.broken_because(&part, reason);
                links.send_replace(None);
                metrics::counter!("orchestratum_broker_reconnects_total", "role" => role).increment(1);
                since.elapsed()
            }
            Err(error) => {
                let reason = crate::health::describe(&error);
                if said.is_news(&reason) {
                    tracing::warn!(error = reason, "the broker cannot be reached");
                }
                health.broken(&part, &error);
                Duration::ZERO
            }
        };
        tokio::time::sleep(backoff.pause_after(lasted)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_connection_meets_is_said_once_and_now_and_then_again() {
        let (said, now) = (Said::default(), Instant::now());
        assert!(said.is_news_at("refused", now));
        assert!(!said.is_news_at("refused", now), "the other connection");
        assert!(said.is_news_at("connected", now));
        assert!(said.is_news_at("refused", now), "it is gone again");
        assert!(said.is_news_at("refused", now + SAY_AGAIN), "it lasts");
    }
}
