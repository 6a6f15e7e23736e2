//! The names of queues and exchanges, and who declares them.
//!
//! A target's queue is bound to nothing: the default exchange routes by queue name, so there is no binding to lose.
//! Only its consumers declare it. Publishers of signals and their receivers both declare the exchange.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use orchestratum_core::Target;

use super::link::Link;
use crate::Error;

#[derive(Debug, Clone)]
pub(crate) struct Topology {
    prefix: String,
}

impl Topology {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    pub(crate) fn queue(&self, target: &Target) -> ShortString {
        format!("{}.tasks.{target}", self.prefix).into()
    }

    pub(crate) fn signals(&self) -> ShortString {
        format!("{}.signals", self.prefix).into()
    }

    /// The exchange for messages of other programs, and the queue behind it.
    pub(crate) fn inbound(&self) -> ShortString {
        format!("{}.inbound", self.prefix).into()
    }

    pub(crate) fn inbound_refused(&self) -> ShortString {
        format!("{}.inbound.refused", self.prefix).into()
    }

    /// Makes sure that the target's queue exists. One that somebody declared with other arguments is used as it is: it
    /// holds only hints, and a worker that refuses it would serve nobody.
    pub(crate) async fn declare_queue(&self, link: &Link, target: &Target) -> Result<(), Error> {
        // On a channel of its own, since a refusal closes it.
        let channel = link.channel().await?;
        let queue = self.queue(target);
        let declare = channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), FieldTable::default());
        match link.within(declare).await {
            Err(error) if is_soft_error(&error, &AMQPSoftError::PRECONDITIONFAILED) => {
                tracing::warn!(
                    queue = queue.as_str(),
                    "the queue was declared with other arguments: used as it is"
                );
                Ok(())
            }
            declared => {
                declared?;
                close(link, &channel).await
            }
        }
    }

    /// A transient exchange: what nobody hears need not survive.
    pub(crate) async fn declare_signals(&self, link: &Link, channel: &Channel) -> Result<(), Error> {
        let declare = channel.exchange_declare(
            self.signals(),
            ExchangeKind::Fanout,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        );
        link.within(declare).await
    }
}

/// Closes a channel before its handle is dropped, so that the number of open channels never runs ahead.
pub(crate) async fn close(link: &Link, channel: &Channel) -> Result<(), Error> {
    link.within(channel.close(200, "OK".into())).await
}

/// Whether the broker closed the channel with this error.
pub(crate) fn is_soft_error(error: &Error, expected: &AMQPSoftError) -> bool {
    let Error::Refused(error) = error else {
        return false;
    };
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(error) if error == expected))
}
