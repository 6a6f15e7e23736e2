//! What this worker holds: every attempt from the answer to its claim to the answer to its report.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orchestratum_core::{TaskId, Timestamp};
use orchestratum_sandbox::Killer;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shared::Life;

/// A task and the number of its attempt: another attempt of the same task may be claimed while the report of this one
/// is on its way.
pub(crate) type Key = (TaskId, u32);

/// What others want of a running attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) expires_at: Timestamp,
    pub(crate) cancel: bool,
    /// The worker stops.
    pub(crate) hand_back: HandBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HandBack {
    No,
    WithGrace,
    AtOnce,
}

/// An attempt that takes long enough to be told something meanwhile.
#[derive(Debug)]
pub(crate) struct Attended {
    pub(crate) orders: watch::Sender<Orders>,
    /// It is not ours any more: kill, and report nothing.
    pub(crate) abandoned: CancellationToken,
    life: Life,
    killer: OnceLock<Killer>,
}

impl Attended {
    pub(crate) fn new(expires_at: Timestamp, life: Life) -> Self {
        Self {
            orders: watch::Sender::new(Orders {
                expires_at,
                cancel: false,
                hand_back: HandBack::No,
            }),
            abandoned: life.over.child_token(),
            life,
            killer: OnceLock::new(),
        }
    }

    /// From now on neither a stuck runtime nor a frozen worker keeps the processes alive.
    pub(crate) fn set_killer(&self, killer: Killer) {
        // Before the look: whoever abandons the attempt after it finds the killer here.
        let killer = self.killer.get_or_init(|| killer);
        killer.live(self.life.left());
        if self.abandoned.is_cancelled() {
            killer.kill();
        }
    }

    fn abandon(&self) {
        self.abandoned.cancel();
        if let Some(killer) = self.killer.get() {
            killer.kill();
        }
    }

    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_if_modified(|orders| {
            let before = *orders;
            change(orders);
            *orders != before
        });
    }
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    attempts: Mutex<HashMap<Key, Entry>>,
    claims: Mutex<Claims>,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    /// `None` for what is over in a moment, and for what only waits for its report to be recorded.
    attended: Option<Arc<Attended>>,
}

/// Numbers claims, to know which were under way at a moment.
#[derive(Debug, Default)]
struct Claims {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// A claim that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct ClaimUnderWay<'a> {
    held: &'a Held,
    number: u64,
}

impl Drop for ClaimUnderWay<'_> {
    fn drop(&mut self) {
        self.held.claims.lock().under_way.remove(&self.number);
    }
}

impl Held {
    /// Marks a claim; what it brings is [put](Self::put) here before the mark is dropped.
    pub(crate) fn begin_claim(&self) -> ClaimUnderWay<'_> {
        let mut claims = self.claims.lock();
        let number = claims.next;
        claims.next += 1;
        claims.under_way.insert(number);
        ClaimUnderWay { held: self, number }
    }

    /// The number of the next claim, and of the oldest that is under way.
    pub(crate) fn claim_numbers(&self) -> (u64, Option<u64>) {
        let claims = self.claims.lock();
        (claims.next, claims.under_way.first().copied())
    }

    pub(crate) fn put(&self, key: Key, attended: Option<Arc<Attended>>) {
        let since = Instant::now();
        self.attempts.lock().insert(key, Entry { since, attended });
    }

    pub(crate) fn put_all(&self, keys: impl Iterator<Item = Key>) {
        let since = Instant::now();
        let entries = keys.map(|key| (key, Entry { since, attended: None }));
        self.attempts.lock().extend(entries);
    }

    pub(crate) fn remove(&self, key: Key) {
        self.attempts.lock().remove(&key);
    }

    pub(crate) fn holds_any(&self, tasks: &[TaskId]) -> bool {
        let wanted: std::collections::HashSet<&TaskId> = tasks.iter().collect();
        self.attempts.lock().keys().any(|(task, _)| wanted.contains(task))
    }

    pub(crate) fn len(&self) -> usize {
        self.attempts.lock().len()
    }

    pub(crate) fn snapshot(&self) -> HashMap<Key, Instant> {
        let attempts = self.attempts.lock();
        attempts.iter().map(|(key, entry)| (*key, entry.since)).collect()
    }

    pub(crate) fn order(&self, key: Key, change: impl FnOnce(&mut Orders)) {
        if let Some(attended) = self.attended(key) {
            attended.order(change);
        }
    }

    pub(crate) fn abandon(&self, key: Key) {
        match self.attended(key) {
            Some(attended) => attended.abandon(),
            // Nothing of it runs: it only waits for its report, or could not be reported.
            None => self.remove(key),
        }
    }

    fn attended(&self, key: Key) -> Option<Arc<Attended>> {
        self.attempts.lock().get(&key).and_then(|entry| entry.attended.clone())
    }

    fn all_attended(&self) -> Vec<Arc<Attended>> {
        self.attempts
            .lock()
            .values()
            .filter_map(|entry| entry.attended.clone())
            .collect()
    }

    pub(crate) fn order_all(&self, change: impl Fn(&mut Orders)) {
        for attended in self.all_attended() {
            attended.order(&change);
        }
    }

    /// Tells those who keep the processes how long this worker lives: they end them then if it cannot.
    pub(crate) fn live(&self, left: Duration) {
        for attended in self.all_attended() {
            if let Some(killer) = attended.killer.get() {
                killer.live(left);
            }
        }
    }

    /// Kills every process, from any thread and without waiting. Nothing of it is reported.
    pub(crate) fn abandon_all(&self) {
        for attended in self.all_attended() {
            attended.abandon();
        }
    }
}
