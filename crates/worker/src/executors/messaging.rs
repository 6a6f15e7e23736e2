//! What `amqp` and `celery` tasks have in common: a broker that is somebody else's.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_broker::{self as broker, Messenger, MessengerOptions, TransientExchange};
use orchestratum_engine::{NamePattern, Settings, error, identity};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

/// How long an attempt waits for a connection that is away.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

const NAME_LENGTH: usize = 20;

/// Connections to the broker at the URL, and a queue there for replies to this process alone: an output with so much around it.
pub(crate) fn start(
    url: &SecretString,
    role: &str,
    exchanges: Vec<TransientExchange>,
    around_output: usize,
    settings: &Settings,
) -> Result<Arc<Messenger>, broker::Error> {
    let prefix = &settings.broker.prefix;
    let options = MessengerOptions {
        name: format!("{prefix} {role}"),
        reply_queue: format!("{prefix}.replies.{role}.{}", identity::random_text(NAME_LENGTH)),
        reply_max_bytes: settings.tasks.output_max_bytes + around_output,
        transient_exchanges: exchanges,
    };
    Messenger::start(url.expose_secret(), options)
}

/// Why a message is not known to have arrived. It may go better the next time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the broker was not reached within {seconds} s: {reason}")]
    NotConnected { seconds: u64, reason: String },
    #[error("the message was not sent: {}", error::chain(.0))]
    NotSent(broker::Error),
    #[error("it is not known whether the message arrived: {}", error::chain(.0))]
    Unknown(broker::Error),
    #[error("the broker has lost the queue for replies, and the answer with it if there was one")]
    AnswerLost,
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::Timeout { .. } | broker::Error::Disconnected | broker::Error::Blocked => {
                Self::Unknown(error)
            }
            other => Self::NotSent(other),
        }
    }
}

/// Waits until messages can be sent and replies would arrive.
pub(super) async fn ready(messenger: &Messenger) -> Result<(), Error> {
    timeout(CONNECT_PATIENCE, messenger.ready()).await.map_err(|_elapsed| {
        let reason = messenger.health().err();
        Error::NotConnected {
            seconds: CONNECT_PATIENCE.as_secs(),
            reason: reason.unwrap_or_else(|| "it does not answer".to_owned()),
        }
    })
}

/// The names that tasks may use, and those of our own queues and exchanges, which they never may.
#[derive(Debug, Clone)]
pub(super) struct Names {
    allowed: Vec<NamePattern>,
    /// Begins our own.
    own: String,
}

impl Names {
    pub(super) fn new(allowed: &[NamePattern], settings: &Settings) -> Self {
        Self {
            allowed: allowed.to_vec(),
            own: format!("{}.", settings.broker.prefix),
        }
    }

    pub(super) fn allow(&self, name: &str) -> bool {
        !self.are_own(name) && self.allowed.iter().any(|pattern| pattern.matches(name))
    }

    pub(super) fn are_own(&self, name: &str) -> bool {
        name.starts_with(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_queues_are_nobodys_also_where_everything_is_allowed() {
        let names = Names {
            allowed: vec!["*".parse().expect("a pattern")],
            own: "orchestratum.".to_owned(),
        };
        assert!(names.allow("orders") && names.allow("orchestratum") && names.allow("amq.topic"));
        for own in [
            "orchestratum.tasks.default",
            "orchestratum.signals",
            "orchestratum.replies.celery.x",
        ] {
            assert!(!names.allow(own), "{own}");
        }
    }
}
