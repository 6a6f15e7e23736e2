//! Messages of tasks to other people's programs, and what these answer.
//!
//! ```text
//!   send ────► supervisor "messages" ─► link ─► a channel for each, confirm and return
//!   expect ──► who waits, by correlation id ◄── replies ◄─ link ◄─ supervisor "replies"
//! ```
//!
//! Their broker is another one than ours more often than not, and what goes wrong with it is no reason for a worker to stop. The
//! connections are kept alive as those of our own broker are (`rabbitmq/supervisor.rs`), and again two, because a broker
//! stops reading from connections that publish while it is short of memory or disk: replies must get through all the same.
//!
//! The queue for replies lives longer than a connection, and dies some time after the process: it is durable, and the broker
//! deletes it when nobody has consumed it for a while. It is a quorum queue, which keeps what comes through a restart of the
//! broker, also where the sender does not ask for it; Celery's workers do not. A broker that comes back without its data, or
//! does not give the queue any more, has lost what was in it: whoever waits is told, and asks again.

mod message;
mod replies;
mod reply;
mod send;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use message::{Header, Message};
pub use replies::Expected;
pub use reply::{Missed, Reply, TooLarge};

use crate::Error;
use crate::health::Health;
use crate::rabbitmq::supervisor::{Said, Supervisor};
use crate::rabbitmq::{FORM_OF_AMQP, parse};

/// The longest a close waits for the goodbyes.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// What a messenger is told when it starts.
#[derive(Debug, Clone)]
pub struct MessengerOptions {
    /// What an operator sees in the broker's list of connections.
    pub name: String,
    /// Nobody else's.
    pub reply_queue: String,
    /// Of a larger reply only that is told.
    pub reply_max_bytes: usize,
    /// Exchanges that must be there, although a restart of the broker loses them.
    pub transient_exchanges: Vec<TransientExchange>,
}

/// An exchange of which both sides make sure that it is there.
#[derive(Debug, Clone)]
pub struct TransientExchange {
    pub name: String,
    pub kind: TransientKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransientKind {
    Fanout,
    /// The queue for replies is bound to it by its own name.
    DirectForReplies,
}

/// Sends messages and takes replies, over every reconnection.
pub struct Messenger {
    reply_queue: Arc<replies::QueueName>,
    sender: send::Sender,
    replies: Arc<replies::Replies>,
    health: Arc<Health>,
    messages: Arc<Supervisor>,
    listening: watch::Receiver<bool>,
    closing: CancellationToken,
    tasks: TaskTracker,
    /// Ends the background tasks of a messenger that is dropped without [`close`](Self::close).
    _end: DropGuard,
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messenger")
            .field("reply_queue", &self.reply_queue.get())
            .finish_non_exhaustive()
    }
}

/// Whether a text can be the URL of a broker.
///
/// # Errors
/// What it must be. The text is not repeated: it may hold a password.
pub fn check_amqp_url(url: &str) -> Result<(), &'static str> {
    parse(url).map(drop).ok_or(FORM_OF_AMQP)
}

impl Messenger {
    /// Must be called within a runtime. Returns at once; the connections are made in the background.
    ///
    /// # Errors
    /// [`Error::Url`] if the URL is not an AMQP URL.
    pub fn start(url: &str, options: MessengerOptions) -> Result<Arc<Self>, Error> {
        let uri = parse(url).ok_or_else(|| Error::Url(FORM_OF_AMQP.to_owned()))?;
        let (closing, disconnecting) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let health = Arc::new(Health::default());
        let said = Arc::new(Said::default());
        let supervise = |role: &'static str, uri: AMQPUri| {
            let name = format!("{} {role}", options.name);
            let (supervisor, run) = Supervisor::new(
                role,
                name,
                uri,
                Arc::clone(&health),
                Arc::clone(&said),
                disconnecting.clone(),
            );
            tasks.spawn(run);
            supervisor
        };
        let messages = supervise("messages", uri.clone());
        let consuming = supervise("replies", uri);
        let (listens, listening) = watch::channel(false);
        let replies = Arc::new(replies::Replies::default());
        let reply_queue = Arc::new(replies::QueueName::new(options.reply_queue));
        let listener = replies::Listener {
            replies: Arc::clone(&replies),
            queue: Arc::clone(&reply_queue),
            reply_max_bytes: options.reply_max_bytes,
            exchanges: options.transient_exchanges,
            consuming,
            health: Arc::clone(&health),
            listens,
        };
        tasks.spawn(listener.run(closing.clone(), disconnecting));
        Ok(Arc::new(Self {
            sender: send::Sender::new(Arc::clone(&messages), Arc::clone(&reply_queue)),
            reply_queue,
            replies,
            health,
            messages,
            listening,
            _end: closing.clone().drop_guard(),
            closing,
            tasks,
        }))
    }

    /// Returns when messages can be sent and replies would arrive.
    pub async fn ready(&self) {
        let mut listening = self.listening.clone();
        let _link = self.messages.connected().await;
        let listens = listening.wait_for(|listens| *listens).await.is_ok();
        if !listens {
            // Closed: never.
            std::future::pending::<()>().await;
        }
    }

    /// What does not work at the moment.
    ///
    /// # Errors
    /// Which parts do not, and why.
    pub fn health(&self) -> Result<(), String> {
        self.health.check()
    }

    /// The name of the queue for replies, as others are told it; another one after the broker has not given it back.
    pub fn reply_queue(&self) -> String {
        self.reply_queue.get()
    }

    /// Takes what is answered under this correlation id, from now on and until it is dropped.
    pub fn expect(&self, correlation_id: &str) -> Expected {
        self.replies.expect(correlation_id)
    }

    /// Returns when the broker has the message, and has a queue for it if the message must have one.
    ///
    /// # Errors
    /// [`Error::Unroutable`] without a queue, [`Error::NotTaken`] and [`Error::Refused`] by the broker's word; after all others
    /// nobody knows whether the message has arrived.
    pub async fn send(&self, message: &Message) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Gives the queue back and ends the connections.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        let _ = timeout(CLOSE_DEADLINE, self.tasks.wait()).await;
    }
}
