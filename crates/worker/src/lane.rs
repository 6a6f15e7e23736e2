//! A lane: tasks that share slots, and the hints that wait for them.
//!
//! Handlers inside the worker and programs have a lane each: a hundred cheap tasks must not wait for two slow processes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orchestratum_broker::Delivery;
use orchestratum_core::TaskName;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::offers::Offer;
use crate::slots::Slots;
use crate::turns::Turns;

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) offers: BTreeMap<TaskName, Offer>,
    /// The same in their order, for those who pass them on.
    pub(crate) names: Arc<[TaskName]>,
    /// One for each task from its claim to the end of its work.
    pub(crate) slots: Arc<Slots>,
    pub(crate) turns: Arc<Turns>,
    hints: Mutex<VecDeque<HeldHint>>,
    /// The targets were said to have ready tasks.
    pub(crate) ready: AtomicBool,
    /// Hints were given back for want of room, and there has been no room since.
    crowded: AtomicBool,
    pub(crate) wake: Arc<Notify>,
}

#[derive(Debug)]
pub(crate) struct HeldHint {
    pub(crate) delivery: Delivery,
    since: Instant,
}

/// The lanes of a worker, and the post they share.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Vec<Arc<Lane>>,
    pub(crate) crowded_changed: Notify,
}

impl Lanes {
    pub(crate) fn new(lanes: Vec<Arc<Lane>>) -> Self {
        Self {
            lanes,
            crowded_changed: Notify::new(),
        }
    }

    pub(crate) fn all(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    pub(crate) fn of(&self, name: &TaskName) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.offers.contains_key(name))
    }

    pub(crate) fn any_crowded(&self) -> bool {
        self.lanes.iter().any(|lane| lane.crowded.load(Ordering::Acquire))
    }

    pub(crate) fn ready(&self) {
        for lane in &self.lanes {
            lane.ready.store(true, Ordering::Release);
            lane.wake.notify_one();
        }
    }

    pub(crate) fn names(&self) -> Vec<TaskName> {
        let mut names: Vec<TaskName> = self.lanes.iter().flat_map(|lane| lane.offers.keys().cloned()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn capacity(&self) -> usize {
        self.lanes.iter().map(|lane| lane.slots.total()).sum()
    }
}

impl Lane {
    pub(crate) fn new(offers: BTreeMap<TaskName, Offer>, slots: usize) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        Arc::new(Self {
            names: offers.keys().cloned().collect(),
            offers,
            slots: Slots::new(slots, Arc::clone(&wake)),
            turns: Turns::new(slots),
            hints: Mutex::default(),
            ready: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            wake,
        })
    }

    /// Keeps a hint until there is room for its task. While there was none for long, none are kept: this one came before the
    /// broker knew, and goes back at once.
    pub(crate) fn put(&self, delivery: Delivery) {
        if self.crowded.load(Ordering::Acquire) {
            return;
        }
        let since = Instant::now();
        self.hints.lock().push_back(HeldHint { delivery, since });
        self.wake.notify_one();
    }

    /// Takes hints; those that are dropped go back to the broker.
    pub(crate) fn take(&self, most: usize) -> VecDeque<HeldHint> {
        let mut hints = self.hints.lock();
        let count = most.min(hints.len());
        hints.drain(..count).collect()
    }

    pub(crate) fn oldest_hint(&self) -> Option<Instant> {
        self.hints.lock().front().map(|hint| hint.since)
    }

    pub(crate) fn set_crowded(&self, lanes: &Lanes, crowded: bool) {
        if self.crowded.swap(crowded, Ordering::AcqRel) != crowded {
            lanes.crowded_changed.notify_one();
            // The other lanes get no hints either while this one is crowded: they have to ask more often.
            for lane in &lanes.lanes {
                lane.wake.notify_one();
            }
        }
    }
}
