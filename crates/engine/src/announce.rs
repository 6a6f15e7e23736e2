//! Announcing ready tasks: a message each, as long as the window of the target has room.
//!
//! RabbitMQ holds a short window of messages a target, the database holds the backlog. A process that commits a ready
//! task reserves a place in its estimate of the window *before* the commit, because the row must say who announces it;
//! the feeder corrects the estimate with the broker's own count and sends what found no place.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orchestratum_broker::{Broker, Hint};
use orchestratum_core::Target;
use orchestratum_store::{Announce, Ready};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::batcher::{Batcher, Bounds, Weight};

/// The most targets whose windows are remembered; beyond it the estimates begin anew.
const REMEMBERED_TARGETS: usize = 10_000;

/// The message that says what the store said.
pub(crate) fn hint(ready: Ready) -> Hint {
    let Ready { task, target, name } = ready;
    Hint { task, target, name }
}

#[derive(Debug)]
pub(crate) struct Announcer {
    publications: Batcher<Hint, ()>,
    /// How many more messages each target's queue may take, by our own estimate.
    room: Mutex<HashMap<Target, usize>>,
    window: usize,
    has_queues: bool,
    /// Whether this process asks the broker how full the queues are. A worker does not: it announces the few tasks it
    /// hands back without an estimate that nobody would correct.
    measures: AtomicBool,
    /// A window has little room left: the feeder should look at the queue again.
    pub(crate) low: Notify,
}

impl Announcer {
    pub(crate) fn start(broker: Arc<dyn Broker>, window: usize) -> Self {
        let has_queues = broker.has_queues();
        let bounds = Bounds {
            lanes: 2,
            worth_a_lane: 100,
            batch: Weight {
                rows: 1_000,
                bytes: usize::MAX,
            },
            waiting: 50_000,
            // Hints are of one small size: their count says it all.
            held_bytes: usize::MAX,
        };
        let publications = Batcher::start(
            bounds,
            |_| Weight { rows: 1, bytes: 0 },
            move |hints: Arc<Vec<Hint>>| {
                let broker = Arc::clone(&broker);
                async move {
                    publish(broker.as_ref(), &hints).await;
                    Ok(vec![(); hints.len()])
                }
            },
        );
        Self {
            publications,
            room: Mutex::default(),
            window,
            has_queues,
            measures: AtomicBool::new(false),
            low: Notify::new(),
        }
    }

    /// Whether the caller announces a task of this target after its commit, or the feeder does later.
    pub(crate) fn reserve(&self, target: &Target) -> Announce {
        if !self.has_queues || !self.measures.load(Ordering::Relaxed) {
            return Announce::ByCaller;
        }
        let mut room = self.room.lock();
        if room.len() >= REMEMBERED_TARGETS && !room.contains_key(target) {
            room.clear();
        }
        let left = room.entry(target.clone()).or_insert(self.window);
        if *left <= self.window / 4 {
            self.low.notify_one();
        }
        if *left == 0 {
            return Announce::ByFeeder;
        }
        *left -= 1;
        Announce::ByCaller
    }

    /// From now on somebody calls [`set_room`](Self::set_room).
    pub(crate) fn measures(&self) {
        self.measures.store(true, Ordering::Relaxed);
    }

    /// Takes over what the broker says about a queue.
    pub(crate) fn set_room(&self, target: &Target, left: usize) {
        self.room.lock().insert(target.clone(), left);
    }

    /// Those of the served targets whose windows are not known to be empty of messages.
    ///
    /// Nobody takes from the queues of the others, if they have one: what is created for them from now on waits for the
    /// feeder, which looks at a queue again once somebody serves it. There may be many, as anyone may invent targets.
    pub(crate) fn used_of(&self, served: &BTreeSet<Target>) -> Vec<Target> {
        let mut used = Vec::new();
        for (target, left) in self.room.lock().iter_mut() {
            if !served.contains(target) {
                *left = 0;
            } else if *left < self.window {
                used.push(target.clone());
            }
        }
        used
    }

    /// Announces tasks that a commit already made ready, as far as their windows have room.
    ///
    /// Thousands may become ready in the same second, when a worker dies or delayed tasks are due; all of their messages
    /// would flood a queue whose order then counts for nothing. Their rows say already that somebody announces them. So
    /// those without a place wait at most [`PUBLISH_LEASE`](orchestratum_store::PUBLISH_LEASE) for the feeder, and less
    /// in practice: their window is full, so workers are busy with it and take ready rows beside it, and once it is
    /// empty the feeder sends every row again.
    pub(crate) fn announce_with_places(&self, hints: impl IntoIterator<Item = Hint>) {
        let has_place = |hint: &Hint| self.reserve(&hint.target) == Announce::ByCaller;
        self.announce(hints.into_iter().filter(has_place));
    }

    /// Sends messages in the background. One that is lost is sent again when its `publish_at` has passed.
    pub(crate) fn announce(&self, hints: impl IntoIterator<Item = Hint>) {
        for hint in hints {
            if !self.publications.leave(hint) {
                metrics::counter!("orchestratum_announcements_dropped_total").increment(1);
            }
        }
    }
}

/// Sends a batch; a failure is counted and left to the feeder.
pub(crate) async fn publish(broker: &dyn Broker, hints: &[Hint]) {
    match broker.publish(hints).await {
        Ok(report) => {
            metrics::counter!("orchestratum_announcements_total").increment(report.accepted as u64);
            metrics::counter!("orchestratum_announcements_unroutable_total").increment(report.unroutable as u64);
            metrics::counter!("orchestratum_announcements_failed_total").increment(report.failed as u64);
        }
        Err(error) => {
            metrics::counter!("orchestratum_announcements_failed_total").increment(hints.len() as u64);
            tracing::debug!(error = %crate::error::chain(&error), "announcing failed; the feeder repeats it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        name.parse().expect("a target")
    }

    #[tokio::test]
    async fn a_target_that_nobody_serves_has_no_room_and_is_not_asked_about() {
        const WINDOW: usize = 100;
        let store = orchestratum_store::connect("sqlite::memory:", &orchestratum_store::Options::default())
            .await
            .expect("a database in memory");
        let broker = orchestratum_broker::connect("database", &orchestratum_broker::Options::default(), store)
            .await
            .expect("no broker is needed");
        let announcer = Announcer {
            has_queues: true,
            ..Announcer::start(broker, WINDOW)
        };
        announcer.measures();
        let (served, invented, idle) = (target("served"), target("invented"), target("idle"));
        for target in [&served, &invented] {
            assert_eq!(announcer.reserve(target), Announce::ByCaller);
        }
        announcer.set_room(&idle, WINDOW);
        let used = announcer.used_of(&[served.clone(), idle].into());
        assert_eq!(used, std::slice::from_ref(&served));
        assert_eq!(announcer.reserve(&served), Announce::ByCaller);
        assert_eq!(announcer.reserve(&invented), Announce::ByFeeder);
    }
}
