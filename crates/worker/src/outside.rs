//! Connections to brokers of other people, for as long as the worker lives.

use std::sync::Arc;

use futures::future::join_all;
use orchestratum_broker::{Error, Messenger};
use orchestratum_engine::Settings;
use tokio_util::sync::CancellationToken;

use crate::executors::{Fleet, messaging};

#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) amqp: Option<Arc<Messenger>>,
    pub(crate) celery: Option<Arc<Fleet>>,
}

impl Outside {
    /// Those that the settings name. Returns at once; the connections are made in the background.
    pub(crate) fn connect(settings: &Settings) -> Result<Self, Error> {
        let amqp = &settings.worker.amqp;
        let messenger = || messaging::start(&amqp.url, "amqp", Vec::new(), 0, settings);
        Ok(Self {
            amqp: amqp.is_configured().then(messenger).transpose()?,
            celery: settings
                .worker
                .celery
                .is_configured()
                .then(|| Fleet::start(settings))
                .transpose()?,
        })
    }

    /// Looks after what there is to look after.
    pub(crate) async fn watch(celery: Option<Arc<Fleet>>, stop: CancellationToken) {
        if let Some(fleet) = celery {
            tokio::select! {
                () = stop.cancelled() => {}
                () = fleet.watch() => {}
            }
        }
    }

    pub(crate) async fn close(&self) {
        let celery = self.celery.as_ref().map(|fleet| fleet.messenger());
        join_all(self.amqp.iter().chain(celery).map(|messenger| messenger.close())).await;
    }
}
