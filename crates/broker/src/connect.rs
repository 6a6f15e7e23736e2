//! From a URL to a broker.

use std::sync::Arc;

use orchestratum_store::Store;

use crate::{Broker, DatabaseBroker, Error, RabbitBroker, rabbitmq};

#[derive(Debug, Clone)]
pub struct Options {
    /// Begins the names of queues and exchanges, so that several installations can share one RabbitMQ.
    pub prefix: String,
    /// The most messages a worker holds that it has not claimed yet.
    pub prefetch: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "orchestratum".to_owned(),
            prefetch: 256,
        }
    }
}

/// `amqp://…` and `amqps://…` mean RabbitMQ; `database` means none. Returns at once: the connection is made, and made
/// again, in the background.
///
/// # Errors
/// [`Error::Url`] only: a broker that cannot be reached is no error here.
pub async fn connect(url: &str, options: &Options, store: Arc<dyn Store>) -> Result<Arc<dyn Broker>, Error> {
    if url == "database" {
        Ok(Arc::new(DatabaseBroker::start(store)))
    } else if url.starts_with("amqp://") || url.starts_with("amqps://") {
        Ok(Arc::new(RabbitBroker::start(url, options)?))
    } else {
        Err(Error::Url(rabbitmq::FORM.to_owned()))
    }
}
