//! What the engine asks of a broker with queues: a window that holds under a mass of announcements, a feeder that lives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_broker::{Broker, Consumer, Error, Hint, InboundMessages, PublishReport, Signal};
use orchestratum_core::Target;
use orchestratum_core::task::{TaskDraft, TaskStatus};
use orchestratum_engine::Engine;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::common::{LEASE, claim, create, echo, engine_with, eventually, worker};

/// Says that each queue holds [`DEPTH`](Self::DEPTH) messages, and counts.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Broker>,
    published: AtomicUsize,
    looks: AtomicUsize,
    asked: Mutex<BTreeSet<Target>>,
    panics_once: AtomicBool,
}

impl Counting {
    /// Not 0: the feeder would send everything again.
    const DEPTH: u64 = 5;

    fn around(inner: Arc<dyn Broker>, panics_once: bool) -> Arc<Self> {
        Arc::new(Self {
            inner,
            published: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            asked: Mutex::default(),
            panics_once: AtomicBool::new(panics_once),
        })
    }

    /// The next looks of the feeder are over.
    async fn looked(&self, times: usize) {
        let before = self.looks.load(Ordering::SeqCst);
        eventually("the feeder looks", || async {
            (self.looks.load(Ordering::SeqCst) > before + times).then_some(())
        })
        .await;
    }
}

#[async_trait]
impl Broker for Counting {
    async fn publish(&self, hints: &[Hint]) -> Result<PublishReport, Error> {
        self.published.fetch_add(hints.len(), Ordering::SeqCst);
        Ok(PublishReport {
            accepted: hints.len(),
            ..PublishReport::default()
        })
    }

    async fn depth(&self, target: &Target) -> Result<Option<u64>, Error> {
        self.asked.lock().insert(target.clone());
        assert!(!self.panics_once.swap(false, Ordering::SeqCst), "the feeder panics");
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Self::DEPTH))
    }

    fn has_queues(&self) -> bool {
        true
    }

    fn inbound(&self, message_max_bytes: usize) -> Option<InboundMessages> {
        self.inner.inbound(message_max_bytes)
    }

    async fn consume(&self, targets: &[Target]) -> Result<Consumer, Error> {
        self.inner.consume(targets).await
    }

    async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.inner.signal(signal).await
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.inner.signals()
    }

    fn health(&self) -> Result<(), String> {
        self.inner.health()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// An engine with these settings, and the broker that it asks.
async fn counted(settings: &[(&str, &str)], panics_once: bool) -> (Engine, Arc<Counting>) {
    let mut counting = None;
    let engine = engine_with(settings, |broker| {
        let broker = Counting::around(broker, panics_once);
        counting = Some(Arc::clone(&broker));
        broker
    })
    .await;
    (engine, counting.expect("it was made"))
}

#[tokio::test]
async fn the_tasks_of_a_dead_worker_are_announced_only_as_far_as_the_window_has_room() {
    const WINDOW: usize = 10;
    let (engine, broker) = counted(&[("broker.window", &WINDOW.to_string())], false).await;
    let first = worker(&engine).await;
    let mut ids = Vec::new();
    for _ in 0..WINDOW * 3 {
        ids.push(create(&engine, echo()).await);
    }
    assert_eq!(claim(&engine, first).await.len(), ids.len());
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    // Only the creation of a task makes the feeder measure a window that no row asks for.
    engine.start_background(true, &tracker, &stop);
    eventually("the windows are measured", || async {
        create(&engine, echo()).await;
        (broker.looks.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
    claim(&engine, first).await;
    broker.looked(1).await;

    let before = broker.published.load(Ordering::SeqCst);
    engine.clock().advance(LEASE + Duration::from_millis(1));
    for id in ids {
        eventually("it is pending again", || async {
            let task = engine.task(id).await.expect("it exists");
            (task.life.status() == TaskStatus::Pending).then_some(())
        })
        .await;
    }
    let announced = broker.published.load(Ordering::SeqCst) - before;
    assert!((1..=WINDOW).contains(&announced), "{announced}");
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn what_is_created_while_nobody_serves_its_target_is_announced_only_as_far_as_a_window_goes() {
    const WINDOW: usize = 10;
    let (engine, broker) = counted(&[("broker.window", &WINDOW.to_string())], false).await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    engine.start_background(true, &tracker, &stop);
    for _ in 0..5 {
        for _ in 0..WINDOW {
            create(&engine, echo()).await;
        }
        // Far longer than the feeder rests between two looks.
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let announced = broker.published.load(Ordering::SeqCst);
    assert!((1..=WINDOW).contains(&announced), "{announced}");
    assert!(broker.asked.lock().is_empty(), "its queue is nobody's business");
    worker(&engine).await;
    broker.looked(1).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn a_target_that_nobody_serves_is_not_asked_about() {
    let (engine, broker) = counted(&[], false).await;
    engine.start_background(true, &TaskTracker::new(), &CancellationToken::new());
    for target in ["invented", "made-up"] {
        let draft = TaskDraft {
            target: Some(target.to_owned()),
            ..echo()
        };
        create(&engine, draft).await;
    }
    worker(&engine).await;
    create(&engine, echo()).await;
    broker.looked(3).await;
    let served = Target::new("default").expect("valid");
    assert_eq!(*broker.asked.lock(), [served].into());
}

#[tokio::test]
async fn a_feeder_that_panics_feeds_again() {
    let (engine, broker) = counted(&[], true).await;
    worker(&engine).await;
    create(&engine, echo()).await;
    engine.start_background(true, &TaskTracker::new(), &CancellationToken::new());
    broker.looked(1).await;
    assert!(!broker.panics_once.load(Ordering::SeqCst), "it panicked first");
}
