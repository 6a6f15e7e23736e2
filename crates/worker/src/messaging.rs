//! Whether the brokers of `amqp` and `celery` tasks can be reached, for whoever checks an installation.

use std::time::Duration;

use orchestratum_broker::Messenger;
use orchestratum_engine::{Settings, error::chain};
use tokio::time::timeout;

use crate::outside::Outside;

/// How long a broker may take to connect.
const PATIENCE: Duration = Duration::from_secs(5);

/// # Errors
/// Why the broker of `amqp` tasks cannot be used. Without one in the settings there is nothing to say.
pub async fn amqp_is_reached(settings: &Settings) -> Result<(), String> {
    let outside = connect(settings)?;
    let reached = match &outside.amqp {
        Some(messenger) => reached(messenger).await,
        None => Ok(()),
    };
    outside.close().await;
    reached
}

/// The names of the workers of the Celery application in the settings that answer.
///
/// # Errors
/// Why they cannot be asked.
pub async fn answering_celery_workers(settings: &Settings) -> Result<Vec<String>, String> {
    let outside = connect(settings)?;
    let workers = match &outside.celery {
        Some(fleet) => match reached(fleet.messenger()).await {
            Ok(()) => fleet.ping().await.map_err(|error| chain(&error)),
            Err(reason) => Err(reason),
        },
        None => Ok(Vec::new()),
    };
    outside.close().await;
    workers
}

fn connect(settings: &Settings) -> Result<Outside, String> {
    Outside::connect(settings).map_err(|error| chain(&error))
}

async fn reached(messenger: &Messenger) -> Result<(), String> {
    timeout(PATIENCE, messenger.ready()).await.map_err(|_elapsed| {
        let reason = messenger.health().err();
        reason.unwrap_or_else(|| "the broker does not answer".to_owned())
    })
}
