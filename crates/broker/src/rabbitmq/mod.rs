//! RabbitMQ through lapin.
//!
//! ```text
//!   publish ──┐
//!   signal  ──┴─► supervisor "publishing" ─► link
//!                 supervisor "listening"  ─► link ◄──┬── signals   one task, a queue that lives with the process
//!                                                    └── depth     one channel
//!                 supervisor "consuming"  ─► link ◄───── consume   one task a consumer, one channel each
//!                 supervisor "inbound"    ─► link ◄───── inbound   one channel, for messages of other programs
//! ```
//!
//! Those that publish have a connection of their own, because RabbitMQ stops reading from it while it is short of memory or disk:
//! acknowledgements and depths must get through all the same. So have those who read messages of other programs: a queue that the
//! broker does not give costs a connection at each try, and nobody else's work may end with it. Consumers are in processes with a
//! worker alone, and what they read is larger than what is listened to. A [`supervisor::Supervisor`] keeps one
//! [`link::Link`] (a connection with its channels) alive; whoever finds that a link does not answer gives it up, and
//! everything on it is rebuilt on the next one. Nothing of an old link is ever used again, and lapin's own recovery
//! stays off: it keeps promises of the old connection pending, which is what a deadline is for. What others send is
//! [made shallow](shallow) before lapin's parser has it.

mod body;
mod consume;
mod depth;
mod inbound;
mod ledger;
pub(crate) mod link;
mod publish;
pub(crate) mod shallow;
mod signals;
mod stream;
pub(crate) mod supervisor;
pub(crate) mod topology;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::uri::AMQPUri;
use orchestratum_core::Target;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::consumer::Mailbox;
use crate::health::Health;
use crate::switchboard::Switchboard;
use crate::{Broker, Consumer, Error, Hint, InboundMessages, Options, PublishReport, Signal};

/// What a URL must be. It is not repeated: it may hold a password.
pub(crate) const FORM: &str = "it must be `database`, or of the form amqp://user:password@host:port/vhost or amqps://…";
/// The same where there must be a broker.
pub(crate) const FORM_OF_AMQP: &str = "must be of the form amqp://user:password@host:port/vhost or amqps://…";

/// A connection silent for twice this long is dead.
const HEARTBEAT_SECONDS: u16 = 10;
/// The largest piece of a message on a connection that is for our own alone, which are small: it holds 64 of them in memory, and what a
/// broker offers are 128 KiB. Others may send headers of that size, which are always in one piece: one that is too large ends the
/// connection, and would come again from a queue that outlives it.
const FRAME_MAX_BYTES: u32 = 16 << 10;
/// The longest a close waits for what is under way: a publication's own deadline and some.
const CLOSE_DEADLINE: Duration = Duration::from_secs(8);

/// The parser's own message may quote the URL, which may hold a password.
pub(crate) fn parse(url: &str) -> Option<AMQPUri> {
    let mut uri: AMQPUri = url.parse().ok()?;
    uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
    Some(uri)
}

/// What each connection is made with, and all that there are.
struct Connections {
    prefix: String,
    uri: AMQPUri,
    health: Arc<Health>,
    said: Arc<supervisor::Said>,
    disconnecting: CancellationToken,
    running: TaskTracker,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Connections")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// One for messages of our own, until the broker is closed.
    fn keep(&self, role: &'static str) -> Arc<supervisor::Supervisor> {
        let mut uri = self.uri.clone();
        uri.query.frame_max = Some(FRAME_MAX_BYTES);
        self.supervise(role, uri)
    }

    /// One for queues that others may send to.
    fn keep_for_others(&self, role: &'static str) -> Arc<supervisor::Supervisor> {
        self.supervise(role, self.uri.clone())
    }

    fn supervise(&self, role: &'static str, uri: AMQPUri) -> Arc<supervisor::Supervisor> {
        let (supervisor, run) = supervisor::Supervisor::new(
            role,
            format!("{} {role}", self.prefix),
            uri,
            Arc::clone(&self.health),
            Arc::clone(&self.said),
            self.disconnecting.clone(),
        );
        self.running.spawn(run);
        supervisor
    }
}

/// The broker on RabbitMQ.
#[derive(Debug)]
pub struct RabbitBroker {
    topology: topology::Topology,
    prefetch: u16,
    publisher: publish::Publisher,
    announcer: signals::Announcer,
    gauge: depth::Gauge,
    connections: Connections,
    /// Made for the first consumer: an api without a worker has none.
    consuming: OnceLock<Arc<supervisor::Supervisor>>,
    switchboard: Arc<Switchboard>,
    health: Arc<Health>,
    consumers: AtomicU64,
    /// Consumers and publications end on `closing`, connections on `disconnecting`, so that the former can still speak.
    closing: CancellationToken,
    disconnecting: CancellationToken,
    users: TaskTracker,
    /// Ends the background tasks of a broker that is dropped without [`close`](Broker::close).
    _end: [DropGuard; 2],
}

impl RabbitBroker {
    /// Must be called within a runtime. Returns at once; the connections are made in the background.
    ///
    /// # Errors
    /// [`Error::Url`] if the URL is not an AMQP URL.
    pub fn start(url: &str, options: &Options) -> Result<Self, Error> {
        let uri = parse(url).ok_or_else(|| Error::Url(FORM.to_owned()))?;
        let topology = topology::Topology::new(&options.prefix);
        let (closing, disconnecting) = (CancellationToken::new(), CancellationToken::new());
        let users = TaskTracker::new();
        let health = Arc::new(Health::default());
        health.broken(signals::PART, &Error::Disconnected);
        let switchboard = Arc::new(Switchboard::new());
        let connections = Connections {
            prefix: options.prefix.clone(),
            uri,
            health: Arc::clone(&health),
            said: Arc::default(),
            disconnecting: disconnecting.clone(),
            running: TaskTracker::new(),
        };
        let publishing = connections.keep("publishing");
        let listening = connections.keep("listening");
        users.spawn(signals::listen(
            topology.clone(),
            Arc::clone(&listening),
            Arc::clone(&switchboard),
            Arc::clone(&health),
            closing.clone(),
        ));
        Ok(Self {
            publisher: publish::Publisher::new(topology.clone(), Arc::clone(&publishing)),
            announcer: signals::Announcer::new(topology.clone(), publishing),
            gauge: depth::Gauge::new(topology.clone(), listening),
            connections,
            topology,
            prefetch: options.prefetch,
            consuming: OnceLock::new(),
            switchboard,
            health,
            consumers: AtomicU64::new(0),
            _end: [closing.clone().drop_guard(), disconnecting.clone().drop_guard()],
            closing,
            disconnecting,
            users,
        })
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, hints: &[Hint]) -> Result<PublishReport, Error> {
        self.publisher.publish(hints).await
    }

    async fn depth(&self, target: &Target) -> Result<Option<u64>, Error> {
        self.gauge.depth(target).await
    }

    fn has_queues(&self) -> bool {
        true
    }

    async fn consume(&self, targets: &[Target]) -> Result<Consumer, Error> {
        let mailbox = Mailbox::new(CancellationToken::new());
        let (consumer, has_room) = Consumer::new(Arc::clone(&mailbox));
        let number = self.consumers.fetch_add(1, Ordering::Relaxed);
        let part = format!("consumer {number}");
        self.health.broken(&part, &Error::Disconnected);
        let consumption = consume::Consumption::new(
            part,
            self.topology.clone(),
            targets.to_vec(),
            self.prefetch,
            mailbox,
            has_room,
        );
        let consuming = self
            .consuming
            .get_or_init(|| self.connections.keep_for_others("consuming"));
        let run = consumption.run(Arc::clone(consuming), Arc::clone(&self.health), self.closing.clone());
        self.users.spawn(run);
        Ok(consumer)
    }

    async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.switchboard.tell(signal.clone());
        self.announcer.announce(&self.switchboard, signal).await
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.switchboard.subscribe()
    }

    fn inbound(&self, message_max_bytes: usize) -> Option<InboundMessages> {
        // From now on: whoever asks for the health must not be told that all is well before the queue is bound.
        self.health.broken(inbound::PART, &Error::Disconnected);
        let prefetch = inbound::prefetch(message_max_bytes);
        let (reader, messages) = mpsc::channel(usize::from(prefetch));
        let reading = inbound::Reading {
            topology: self.topology.clone(),
            prefetch,
            connecting: self.connections.keep_for_others("inbound"),
            health: Arc::clone(&self.health),
            reader,
        };
        self.users.spawn(reading.run(self.closing.clone()));
        Some(
            futures::stream::unfold(messages, |mut messages| async move {
                Some((messages.recv().await?, messages))
            })
            .boxed(),
        )
    }

    fn health(&self) -> Result<(), String> {
        self.health.check()
    }

    async fn close(&self) {
        self.closing.cancel();
        self.users.close();
        // What does not end within the deadline is cut off with its connection: nothing of it is lost for good.
        let _ = timeout(CLOSE_DEADLINE, async {
            self.publisher.finish().await;
            self.users.wait().await;
        })
        .await;
        self.disconnecting.cancel();
        self.connections.running.close();
        let _ = timeout(CLOSE_DEADLINE, self.connections.running.wait()).await;
    }
}
