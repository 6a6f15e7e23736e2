//! The queue for replies, and those who wait for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::reply::{Reply, TooLarge, correlation_id};
use super::{TransientExchange, TransientKind};
use crate::Error;
use crate::backoff::Backoff;
use crate::health::{Health, describe};
use crate::rabbitmq::link::Link;
use crate::rabbitmq::supervisor::Supervisor;
use crate::rabbitmq::topology::{close, is_soft_error};

/// How long the queue of a process that is gone stays.
const QUEUE_EXPIRES_MS: i32 = 30 * 60 * 1_000;
/// So many replies are in memory before anybody looks at how large they are: RabbitMQ takes messages of many megabytes.
const PREFETCH: u16 = 32;
/// How many replies may lie before one who waits. Nobody who waits does anything else for long.
const WAITING: usize = 64;
/// An exchange or a binding that is lost is back after this: the broker does not tell us.
const REPAIR_PERIOD: Duration = Duration::from_secs(10);
/// For the goodbye to a queue.
const DELETE_DEADLINE: Duration = Duration::from_secs(1);
/// Its name in the health report.
const PART: &str = "queue for replies";

type Arrived = Result<Reply, TooLarge>;

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<String, (u64, mpsc::Sender<Arrived>)>,
    newest: u64,
}

/// The replies under one correlation id.
#[derive(Debug)]
pub struct Expected {
    replies: Arc<Replies>,
    id: String,
    number: u64,
    arriving: mpsc::Receiver<Arrived>,
}

impl Replies {
    pub(super) fn expect(self: &Arc<Self>, id: &str) -> Expected {
        let (sender, arriving) = mpsc::channel(WAITING);
        let mut waiting = self.waiting.lock();
        waiting.newest += 1;
        let number = waiting.newest;
        // Whoever waited before for the same waits for another attempt, which is over.
        waiting.by_id.insert(id.to_owned(), (number, sender));
        Expected {
            replies: Arc::clone(self),
            id: id.to_owned(),
            number,
            arriving,
        }
    }

    /// Hands it to whoever waits for it. What nobody waits for is late, or nobody's.
    async fn arrived(&self, id: Option<&str>, reply: Arrived) {
        let sender = id.and_then(|id| Some(self.waiting.lock().by_id.get(id)?.1.clone()));
        let taken = match sender {
            Some(sender) => sender.send(reply).await.is_ok(),
            None => false,
        };
        let result = if taken { "taken" } else { "unexpected" };
        metrics::counter!("orchestratum_messenger_replies_total", "result" => result).increment(1);
    }
}

impl Expected {
    /// The next one. It may never come.
    ///
    /// # Errors
    /// If it is larger than this messenger keeps.
    pub async fn next(&mut self) -> Result<Reply, TooLarge> {
        match self.arriving.recv().await {
            Some(reply) => reply,
            // Somebody else waits for it now.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut waiting = self.replies.waiting.lock();
        if waiting
            .by_id
            .get(&self.id)
            .is_some_and(|(number, _)| *number == self.number)
        {
            waiting.by_id.remove(&self.id);
        }
    }
}

/// Consumes the queue, over every reconnection.
pub(super) struct Listener {
    pub(super) replies: Arc<Replies>,
    pub(super) queue: String,
    pub(super) reply_max_bytes: usize,
    pub(super) exchanges: Vec<TransientExchange>,
    pub(super) consuming: Arc<Supervisor>,
    pub(super) health: Arc<Health>,
    pub(super) listens: watch::Sender<bool>,
}

impl Listener {
    /// Until `closing`; then gives the queue back and lets the connections end.
    pub(super) async fn run(self, closing: CancellationToken, disconnecting: CancellationToken) {
        self.health.broken(PART, &Error::Disconnected);
        tokio::select! {
            () = self.keep_listening() => {}
            () = closing.cancelled() => {}
        }
        self.listens.send_replace(false);
        if let Ok(link) = self.consuming.link() {
            // The broker deletes it anyway some time later.
            let _ = timeout(DELETE_DEADLINE, self.delete(&link)).await;
        }
        disconnecting.cancel();
    }

    async fn keep_listening(&self) {
        let mut backoff = Backoff::new();
        loop {
            let link = self.consuming.connected().await;
            let since = Instant::now();
            let error = self.listen(&link).await;
            self.listens.send_replace(false);
            tracing::debug!(error = describe(&error), "the replies of a broker ended");
            self.health.broken(PART, &error);
            // A lost connection comes back with a pause of its own.
            if !link.has_ended() {
                tokio::time::sleep(backoff.pause_after(since.elapsed())).await;
            }
        }
    }

    /// Returns why it ended.
    async fn listen(&self, link: &Link) -> Error {
        let (channel, mut messages) = match self.subscribe(link).await {
            Ok(subscribed) => subscribed,
            Err(error) => return error,
        };
        self.health.works(PART);
        self.listens.send_replace(true);
        let mut repair = interval(REPAIR_PERIOD);
        repair.reset();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(Ok(message)) => {
                        let (id, acker) = (correlation_id(&message), message.acker.clone());
                        let reply = Reply::of(message, self.reply_max_bytes);
                        self.replies.arrived(id.as_deref(), reply).await;
                        // Behind the hand-over: with the process the attempt that waits is lost, too.
                        if let Err(error) = link.within(async { acker.ack(BasicAckOptions::default()).await }).await {
                            return error;
                        }
                    }
                    Some(Err(error)) => return Error::Refused(error),
                    None => return Error::Cancelled { queue: self.queue.clone() },
                },
                _ = repair.tick() => if let Err(error) = self.make_exchanges(link, &channel).await {
                    return error;
                },
                () = link.ended() => return Error::Disconnected,
            }
        }
    }

    async fn subscribe(&self, link: &Link) -> Result<(Channel, lapin::Consumer), Error> {
        let channel = link.channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-expires".into(), AMQPValue::LongInt(QUEUE_EXPIRES_MS));
        let declare = channel.queue_declare(self.name(), QueueDeclareOptions::durable(), arguments);
        link.within(declare).await?;
        self.make_exchanges(link, &channel).await?;
        link.within(channel.basic_qos(PREFETCH, BasicQosOptions::default()))
            .await?;
        let consume = channel.basic_consume(
            self.name(),
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let messages = link.within(consume).await?;
        Ok((channel, messages))
    }

    async fn make_exchanges(&self, link: &Link, channel: &Channel) -> Result<(), Error> {
        for exchange in &self.exchanges {
            make_sure_of(link, exchange).await?;
            match exchange.kind {
                TransientKind::Fanout => {}
                TransientKind::DirectForReplies => {
                    let bind = channel.queue_bind(
                        self.name(),
                        exchange.name.as_str().into(),
                        self.name(),
                        QueueBindOptions::default(),
                        FieldTable::default(),
                    );
                    link.within(bind).await?;
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, link: &Link) -> Result<(), Error> {
        let channel = link.channel().await?;
        let delete = channel.queue_delete(self.name(), QueueDeleteOptions::default());
        link.within(delete).await.map(drop)
    }

    /// Made by us, and short.
    fn name(&self) -> ShortString {
        self.queue.as_str().into()
    }
}

/// One that somebody declared otherwise is used as it is.
async fn make_sure_of(link: &Link, exchange: &TransientExchange) -> Result<(), Error> {
    // On a channel of its own, since a refusal closes it.
    let channel = link.channel().await?;
    let kind = match exchange.kind {
        TransientKind::Fanout => ExchangeKind::Fanout,
        TransientKind::DirectForReplies => ExchangeKind::Direct,
    };
    let declare = channel.exchange_declare(
        exchange.name.as_str().into(),
        kind,
        ExchangeDeclareOptions::default(),
        FieldTable::default(),
    );
    match link.within(declare).await {
        Err(error) if is_soft_error(&error, &AMQPSoftError::PRECONDITIONFAILED) => Ok(()),
        declared => {
            declared?;
            close(link, &channel).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn reply(body: &str) -> Reply {
        Reply {
            content_type: None,
            headers: BTreeMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[tokio::test]
    async fn a_reply_goes_to_whoever_waits_for_it_last() {
        let replies = Arc::new(Replies::default());
        let (first, mut second) = (replies.expect("a"), replies.expect("a"));
        let mut other = replies.expect("b");
        replies.arrived(Some("a"), Ok(reply("1"))).await;
        drop(first);
        replies.arrived(Some("a"), Ok(reply("2"))).await;
        replies.arrived(Some("b"), Ok(reply("3"))).await;
        replies.arrived(None, Ok(reply("nobody's"))).await;
        assert_eq!(
            (second.next().await, second.next().await),
            (Ok(reply("1")), Ok(reply("2")))
        );
        assert_eq!(other.next().await, Ok(reply("3")));
        drop((second, other));
        assert!(replies.waiting.lock().by_id.is_empty());
    }
}
