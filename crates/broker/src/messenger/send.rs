//! Sending one message, until the broker has said what became of it.

use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::message::{Message, short};
use super::replies::QueueName;
use crate::Error;
use crate::rabbitmq::link::{ANSWER_DEADLINE, Link};
use crate::rabbitmq::supervisor::Supervisor;

/// Messages on their way at a time, each on a channel of its own: lapin tells which message was returned by the order of the
/// channel, and a broker closes the channel of a message to an exchange that is not there.
const LANES: usize = 64;

#[derive(Debug)]
pub(super) struct Sender {
    messages: Arc<Supervisor>,
    reply_queue: Arc<QueueName>,
    lanes: Semaphore,
}

impl Sender {
    pub(super) fn new(messages: Arc<Supervisor>, reply_queue: Arc<QueueName>) -> Self {
        Self {
            messages,
            reply_queue,
            lanes: Semaphore::new(LANES),
        }
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), Error> {
        let deadline = Instant::now() + ANSWER_DEADLINE;
        let properties = message.properties(&self.reply_queue.get())?;
        let (exchange, routing_key) = (short(&message.exchange)?, short(&message.routing_key)?);
        let _lane = self.lane(deadline).await?;
        let link = self.messages.link()?;
        if link.is_blocked() {
            return Err(Error::Blocked);
        }
        let channel = match take_spare(&link) {
            Some(channel) => channel,
            None => open(&link).await?,
        };
        let options = BasicPublishOptions {
            mandatory: message.matters,
            ..BasicPublishOptions::default()
        };
        let publish = async {
            let confirm = channel
                .basic_publish(exchange, routing_key, options, &message.body, properties)
                .await?;
            confirm.await
        };
        let confirmation = tokio::select! {
            biased;
            confirmation = timeout_at(deadline, publish) => confirmation.map_err(|_elapsed| link.too_late())?,
            () = link.unusable() => return Err(if link.is_blocked() { Error::Blocked } else { Error::Disconnected }),
        };
        let result = match confirmation {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(returned))) => Err(Error::Unroutable(returned.reply_text.to_string())),
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => Err(Error::NotTaken),
            Err(error) => Err(Error::Refused(error)),
        };
        if channel.status().connected() {
            link.spare_channels.lock().push(channel);
        }
        result
    }

    async fn lane(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Error> {
        let lane = timeout_at(deadline, self.lanes.acquire()).await;
        match lane {
            Ok(Ok(lane)) => Ok(lane),
            Ok(Err(_closed)) => Err(Error::Disconnected),
            Err(_elapsed) => Err(Error::Timeout {
                seconds: ANSWER_DEADLINE.as_secs(),
            }),
        }
    }
}

fn take_spare(link: &Link) -> Option<Channel> {
    let mut spare = link.spare_channels.lock();
    spare.retain(|channel| channel.status().connected());
    spare.pop()
}

async fn open(link: &Link) -> Result<Channel, Error> {
    let channel = link.channel().await?;
    link.within(channel.confirm_select(ConfirmSelectOptions::default()))
        .await?;
    Ok(channel)
}
