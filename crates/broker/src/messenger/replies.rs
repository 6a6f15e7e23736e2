//! The queue for replies, and those who wait for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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

use super::reply::{Missed, Reply, TooLarge, correlation_id};
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
/// So often in a row the broker may leave unanswered what makes the queue and consumes it. A quorum queue that was made the moment before
/// its broker was killed may have no leader when it is back, and never gets one.
const SILENCES_MAX: u32 = 2;
/// Its name in the health report.
const PART: &str = "queue for replies";

type Arrived = Result<Reply, TooLarge>;

/// What the queue for replies is called.
#[derive(Debug)]
pub(super) struct QueueName {
    first: String,
    /// How many the broker has not given back.
    given_up: AtomicU32,
}

impl QueueName {
    pub(super) fn new(first: String) -> Self {
        Self {
            first,
            given_up: AtomicU32::new(0),
        }
    }

    /// For now.
    pub(super) fn get(&self) -> String {
        match self.given_up.load(Ordering::Relaxed) {
            0 => self.first.clone(),
            given_up => format!("{}.{given_up}", self.first),
        }
    }

    fn give_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: Mutex<Waiting>,
    /// How often all that was on its way has been lost.
    losses: watch::Sender<u32>,
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
    losses: watch::Receiver<u32>,
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
            losses: self.losses.subscribe(),
        }
    }

    /// What is on its way will not come any more.
    fn lose(&self) {
        self.losses.send_modify(|losses| *losses += 1);
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
    /// If it is larger than this messenger keeps; once for each time that the broker has lost the queue for replies.
    pub async fn next(&mut self) -> Result<Reply, Missed> {
        tokio::select! {
            biased;
            arrived = self.arriving.recv() => match arrived {
                Some(reply) => Ok(reply?),
                // Somebody else waits for it now.
                None => std::future::pending().await,
            },
            // The other end lives as long as this one.
            _ = self.losses.changed() => Err(Missed::Lost),
        }
    }

    /// What was lost before now is nothing that is waited for: the question is sent after this.
    pub fn begins_now(&mut self) {
        self.losses.mark_unchanged();
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
    pub(super) queue: Arc<QueueName>,
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
        let (mut was_there, mut silences) = (false, 0);
        loop {
            let link = self.consuming.connected().await;
            let since = Instant::now();
            let error = match self.subscribe(&link, was_there).await {
                Ok((channel, messages)) => {
                    (was_there, silences) = (true, 0);
                    self.listen(&link, &channel, messages).await
                }
                Err(error) => {
                    silences = if matches!(error, Error::Timeout { .. }) {
                        silences + 1
                    } else {
                        0
                    };
                    error
                }
            };
            self.listens.send_replace(false);
            if silences == SILENCES_MAX {
                self.give_up();
                (was_there, silences) = (false, 0);
            }
            tracing::debug!(error = describe(&error), "the replies of a broker ended");
            self.health.broken(PART, &error);
            // A lost connection comes back with a pause of its own.
            if !link.has_ended() {
                tokio::time::sleep(backoff.pause_after(since.elapsed())).await;
            }
        }
    }

    /// The broker knows the queue, and does not give it: another one takes its place.
    fn give_up(&self) {
        let queue = self.queue.get();
        tracing::warn!(
            queue,
            "the broker does not give the queue for replies back: another one takes its place"
        );
        self.queue.give_up();
        self.lose();
    }

    fn lose(&self) {
        metrics::counter!("orchestratum_messenger_queues_lost_total").increment(1);
        self.replies.lose();
    }

    /// Returns why it ended.
    async fn listen(&self, link: &Link, channel: &Channel, mut messages: lapin::Consumer) -> Error {
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
                    None => return Error::Cancelled { queue: self.queue.get() },
                },
                _ = repair.tick() => if let Err(error) = self.make_exchanges(link, channel).await {
                    return error;
                },
                () = link.ended() => return Error::Disconnected,
            }
        }
    }

    async fn subscribe(&self, link: &Link, was_there: bool) -> Result<(Channel, lapin::Consumer), Error> {
        if was_there && !self.is_there(link).await? {
            let queue = self.queue.get();
            tracing::warn!(queue, "the broker has lost the queue for replies, and what was in it");
            self.lose();
        }
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

    async fn is_there(&self, link: &Link) -> Result<bool, Error> {
        // On a channel of its own, since a refusal closes it.
        let channel = link.channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declare = channel.queue_declare(self.name(), options, FieldTable::default());
        match link.within(declare).await {
            Err(error) if is_soft_error(&error, &AMQPSoftError::NOTFOUND) => Ok(false),
            declared => {
                declared?;
                close(link, &channel).await?;
                Ok(true)
            }
        }
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
        self.queue.get().into()
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

    #[test]
    fn a_queue_that_is_given_up_has_another_name() {
        let name = QueueName::new("replies.x".to_owned());
        assert_eq!(name.get(), "replies.x");
        name.give_up();
        assert_eq!(name.get(), "replies.x.1");
        name.give_up();
        assert_eq!(name.get(), "replies.x.2");
    }

    #[tokio::test]
    async fn a_loss_is_told_once_to_all_who_wait_and_to_nobody_who_asks_later() {
        let replies = Arc::new(Replies::default());
        let (mut waits, mut begins) = (replies.expect("a"), replies.expect("b"));
        replies.lose();
        begins.begins_now();
        let mut later = replies.expect("c");
        assert_eq!(waits.next().await, Err(Missed::Lost));
        for (id, expected) in [("a", &mut waits), ("b", &mut begins), ("c", &mut later)] {
            replies.arrived(Some(id), Ok(reply(id))).await;
            assert_eq!(expected.next().await, Ok(reply(id)));
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
