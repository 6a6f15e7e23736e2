//! The workers of a Celery application, as far as they can be reached.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_broker::celery::{Control, pong};
use orchestratum_broker::{Error, Messenger};
use orchestratum_engine::{Settings, error, identity};
use tokio::time::{sleep, timeout};

use crate::executors::messaging;

/// How long an answer to a ping may take. A worker answers it beside its tasks.
const PING_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked who is there.
const LOOK_EVERY: Duration = Duration::from_secs(30);

const TICKET_LENGTH: usize = 20;

/// What an answer holds beside a result: names, the ids of what Celery called itself, and where it failed, the message and the
/// traceback, which are shortened here.
const ENVELOPE_MAX_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Fleet {
    messenger: Arc<Messenger>,
    control: Control,
}

impl Fleet {
    /// Returns at once; the connections are made in the background.
    pub(crate) fn start(settings: &Settings) -> Result<Arc<Self>, Error> {
        let celery = &settings.worker.celery;
        let control = Control::new(&celery.control_exchange);
        let messenger = messaging::start(&celery.url, "celery", control.exchanges(), ENVELOPE_MAX_BYTES, settings)?;
        Ok(Arc::new(Self { messenger, control }))
    }

    pub(crate) const fn messenger(&self) -> &Arc<Messenger> {
        &self.messenger
    }

    /// Tells all workers.
    pub(super) async fn revoke(&self, ids: &[String]) -> Result<(), Error> {
        self.messenger.send(&self.control.revoke(ids)).await
    }

    /// Who answers in time, by name. The connections must stand.
    pub(crate) async fn ping(&self) -> Result<Vec<String>, Error> {
        let ticket = identity::random_text(TICKET_LENGTH);
        let mut answers = self.messenger.expect(&ticket);
        let ping = self.control.ping(&ticket, &self.messenger.reply_queue());
        self.messenger.send(&ping).await?;
        let mut workers = Vec::new();
        let gather = async {
            loop {
                if let Ok(answer) = answers.next().await {
                    workers.extend(pong(&answer));
                }
            }
        };
        // It goes on until the time is over: nobody knows how many there are.
        let _ = timeout(PING_PATIENCE, gather).await;
        workers.sort_unstable();
        workers.dedup();
        Ok(workers)
    }

    /// Looks now and then who is there, for the metrics and the log.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut known = None;
        loop {
            self.messenger.ready().await;
            let workers = match self.ping().await {
                Ok(workers) => workers,
                Err(error) => {
                    tracing::debug!(error = %error::chain(&error), "the workers of Celery could not be asked");
                    Vec::new()
                }
            };
            metrics::gauge!("orchestratum_celery_workers").set(workers.len() as f64);
            if known != Some(workers.is_empty()) {
                if workers.is_empty() {
                    tracing::warn!("no Celery worker answers: `celery` tasks wait in their queues");
                } else {
                    tracing::info!(workers = workers.join(", "), "Celery workers answer");
                }
            }
            known = Some(workers.is_empty());
            sleep(LOOK_EVERY).await;
        }
    }
}
