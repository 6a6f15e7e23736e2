//! No broker: signals through the database.
//!
//! There are no queues, so there is nothing to fill and nothing to deliver: a worker is woken by
//! [`Signal::Ready`](crate::Signal::Ready) and claims. Receivers in this process are told at once; for other processes
//! everything that comes up while one signal is on its way is put together into the next, because in PostgreSQL every
//! notifying transaction takes one global lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use orchestratum_core::{SagaId, Target, TaskId};
use orchestratum_store::Store;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::consumer::Mailbox;
use crate::health::Health;
use crate::switchboard::Switchboard;
use crate::{Broker, Consumer, Error, Hint, InboundMessages, PublishReport, Signal};

/// PostgreSQL refuses a notification of 8,000 bytes. 100 names of 100 characters would not fit, so the number of
/// targets is smaller than that of task ids (36 characters, quotes and a comma).
const TARGETS_PER_SIGNAL: usize = 60;
const TASKS_PER_SIGNAL: usize = 160;
/// Told to other processes in one go at most; more is dropped, and found by them when they ask the database.
const PENDING_TASKS: usize = 10_000;
const DEADLINE: Duration = Duration::from_secs(5);
const LISTENER: &str = "signals of the database";

/// The broker that is none.
#[derive(Debug)]
pub struct DatabaseBroker {
    shared: Arc<Shared>,
    closing: CancellationToken,
    tasks: TaskTracker,
    /// Ends the background tasks of a broker that is dropped without [`close`](Broker::close).
    _end: DropGuard,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    switchboard: Switchboard,
    health: Health,
    pending: Mutex<Pending>,
    something_pending: Notify,
}

/// What the other processes have not been told yet.
#[derive(Debug, Default)]
struct Pending {
    finished: Vec<TaskId>,
    changed: Vec<TaskId>,
    ready: BTreeSet<Target>,
    sagas: Vec<SagaId>,
    moved: Vec<TaskId>,
    is_watched: bool,
}

impl DatabaseBroker {
    /// Must be called within a runtime.
    pub fn start(store: Arc<dyn Store>) -> Self {
        let shared = Arc::new(Shared {
            store,
            switchboard: Switchboard::new(),
            health: Health::default(),
            pending: Mutex::default(),
            something_pending: Notify::new(),
        });
        // From the first moment: `/health/ready` is asked early.
        shared.health.broken(LISTENER, &Error::Disconnected);
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(tell_others(Arc::clone(&shared), closing.clone()));
        tasks.spawn(listen(Arc::clone(&shared), closing.clone()));
        Self {
            shared,
            tasks,
            _end: closing.clone().drop_guard(),
            closing,
        }
    }
}

#[async_trait]
impl Broker for DatabaseBroker {
    async fn publish(&self, hints: &[Hint]) -> Result<PublishReport, Error> {
        let targets: BTreeSet<Target> = hints.iter().map(|hint| hint.target.clone()).collect();
        if !targets.is_empty() {
            self.signal(Signal::Ready {
                targets: targets.into_iter().collect(),
            })
            .await?;
        }
        Ok(PublishReport {
            accepted: hints.len(),
            ..PublishReport::default()
        })
    }

    async fn depth(&self, _target: &Target) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    fn has_queues(&self) -> bool {
        false
    }

    async fn consume(&self, _targets: &[Target]) -> Result<Consumer, Error> {
        let (consumer, _has_room) = Consumer::new(Mailbox::new(self.closing.child_token()));
        Ok(consumer)
    }

    async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.shared.pending.lock().add(&signal);
        self.shared.something_pending.notify_one();
        self.shared.switchboard.tell(signal);
        Ok(())
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.shared.switchboard.subscribe()
    }

    fn inbound(&self, _message_max_bytes: usize) -> Option<InboundMessages> {
        None
    }

    fn health(&self) -> Result<(), String> {
        self.shared.health.check()
    }

    async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        // What is left after the deadline ends with the process.
        let _ = timeout(DEADLINE, self.tasks.wait()).await;
    }
}

impl Pending {
    fn add(&mut self, signal: &Signal) {
        match signal {
            Signal::Finished { tasks } => Self::add_ids(&mut self.finished, tasks),
            Signal::Changed { tasks } => Self::add_ids(&mut self.changed, tasks),
            Signal::Ready { targets } => self.ready.extend(targets.iter().cloned()),
            Signal::Sagas { sagas } => Self::add_ids(&mut self.sagas, sagas),
            Signal::Moved { tasks } => Self::add_ids(&mut self.moved, tasks),
            Signal::Watched => self.is_watched = true,
        }
    }

    fn add_ids<Id: Copy>(pending: &mut Vec<Id>, ids: &[Id]) {
        let room = PENDING_TASKS.saturating_sub(pending.len());
        pending.extend(ids.iter().copied().take(room));
    }

    fn take(&mut self) -> Vec<Signal> {
        let Self {
            finished,
            changed,
            ready,
            sagas,
            moved,
            is_watched,
        } = std::mem::take(self);
        let mut signals = Signal::Finished { tasks: finished }.split(TASKS_PER_SIGNAL);
        signals.extend(Signal::Changed { tasks: changed }.split(TASKS_PER_SIGNAL));
        let targets = ready.into_iter().collect();
        signals.extend(Signal::Ready { targets }.split(TARGETS_PER_SIGNAL));
        signals.extend(Signal::Sagas { sagas }.split(TASKS_PER_SIGNAL));
        signals.extend(Signal::Moved { tasks: moved }.split(TASKS_PER_SIGNAL));
        signals.extend(is_watched.then_some(Signal::Watched));
        signals
    }
}

/// Tells the other processes, one signal in flight at a time.
async fn tell_others(shared: Arc<Shared>, closing: CancellationToken) {
    loop {
        let ending = tokio::select! {
            () = shared.something_pending.notified() => false,
            () = closing.cancelled() => true,
        };
        let signals = shared.pending.lock().take();
        for signal in signals {
            if let Err(error) = tell(&shared, signal).await {
                // Best effort: whoever misses it finds it by asking. The rest would fail in the same way.
                tracing::debug!(error = crate::health::describe(&error), "a signal was not sent");
                break;
            }
        }
        if ending {
            return;
        }
    }
}

async fn tell(shared: &Shared, signal: Signal) -> Result<(), Error> {
    let Ok(payload) = shared.switchboard.wrap(signal) else {
        return Ok(());
    };
    match timeout(DEADLINE, shared.store.signal(&payload)).await {
        Ok(sent) => sent.map_err(Error::Database),
        Err(_elapsed) => Err(Error::Timeout {
            seconds: DEADLINE.as_secs(),
        }),
    }
}

/// Tells this process what the others say, over every loss of the connection.
async fn listen(shared: Arc<Shared>, closing: CancellationToken) {
    let mut backoff = Backoff::new();
    while !closing.is_cancelled() {
        let since = Instant::now();
        tokio::select! {
            () = closing.cancelled() => return,
            ended = listen_once(&shared) => {
                tracing::debug!(error = crate::health::describe(&ended), "the signals of the database ended");
                shared.health.broken(LISTENER, &ended);
            }
        }
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(backoff.pause_after(since.elapsed())) => {}
        }
    }
}

/// Returns why it ended.
async fn listen_once(shared: &Shared) -> Error {
    let mut payloads = match timeout(DEADLINE, shared.store.signals()).await {
        Ok(Ok(payloads)) => payloads,
        Ok(Err(error)) => return Error::Database(error),
        Err(_elapsed) => {
            return Error::Timeout {
                seconds: DEADLINE.as_secs(),
            };
        }
    };
    shared.health.works(LISTENER);
    while let Some(payload) = payloads.next().await {
        if shared.switchboard.receive(payload.as_bytes()).is_err() {
            metrics::counter!("orchestratum_broker_poison_messages_total", "reason" => "not_a_signal").increment(1);
        }
    }
    Error::Disconnected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL takes, with a margin.
    const LONGEST_PAYLOAD: usize = 7_000;

    #[test]
    fn every_signal_fits_a_notification() {
        let mut pending = Pending::default();
        let tasks: Vec<TaskId> = (0..PENDING_TASKS as u128 + 5)
            .map(|n| TaskId(uuid::Uuid::from_u128(n)))
            .collect();
        pending.add(&Signal::Finished { tasks: tasks.clone() });
        pending.add(&Signal::Changed { tasks });
        let targets = (0..500).map(|n| Target::new(format!("{n:0>100}")).expect("a plain name"));
        pending.add(&Signal::Ready {
            targets: targets.collect(),
        });
        let switchboard = Switchboard::new();
        let signals = pending.take();
        assert_eq!(
            signals.len(),
            2 * PENDING_TASKS.div_ceil(TASKS_PER_SIGNAL) + 500_usize.div_ceil(TARGETS_PER_SIGNAL)
        );
        for signal in signals {
            let payload = switchboard.wrap(signal).expect("it is plain data");
            assert!(payload.len() <= LONGEST_PAYLOAD, "{} bytes", payload.len());
        }
        assert_eq!(pending.take(), Vec::new());
    }

    #[test]
    fn what_is_said_twice_before_it_is_sent_is_sent_once() {
        let mut pending = Pending::default();
        let targets = vec![Target::new("mail").expect("a plain name")];
        let signal = Signal::Ready { targets };
        pending.add(&signal);
        pending.add(&signal);
        assert_eq!(pending.take(), vec![signal]);
    }
}
