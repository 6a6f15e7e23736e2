//! What was noticed, what is kept, and who listens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestratum_core::{SagaId, TaskId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::ring::{ChangeId, From, Ring, What};
use crate::identity;

/// How long the ring is kept for those who come again.
const LINGER: Duration = Duration::from_secs(60);

/// For how long others tell what nobody else needs to know, after they were asked to.
pub(crate) const WATCHED_FOR: Duration = Duration::from_secs(20);

/// How long it takes at most, as a rule, until other processes have heard that they were asked.
const HEARD_AFTER: Duration = Duration::from_millis(250);

/// How much may wait to be read. More means that it is not read as fast as it comes: then it is lost, and that is told.
const NOTICED_MAX: usize = 20_000;

/// Changes, as far as somebody follows them.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Somebody listens here, or did a moment ago. Read on hot paths, so without a lock.
    is_open: AtomicBool,
    /// Somebody listens anywhere. Likewise.
    is_watched: AtomicBool,
    inner: Mutex<Inner>,
    /// Told of everything new.
    told: watch::Sender<()>,
    /// Somebody came to listen, here or elsewhere.
    woken: Notify,
}

#[derive(Debug)]
struct Inner {
    ring: Ring,
    noticed: Noticed,
    listeners: usize,
    left_at: Instant,
    watched_until: Instant,
    /// When the others were asked first since it is open.
    asked_at: Option<Instant>,
}

/// What changed, to be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Noticed {
    pub(crate) tasks: BTreeSet<TaskId>,
    pub(crate) sagas: BTreeSet<SagaId>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    changes: Arc<Changes>,
    pub(super) told: watch::Receiver<()>,
}

impl Default for Changes {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            is_open: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                ring: new_ring(),
                noticed: Noticed::default(),
                listeners: 0,
                left_at: now,
                watched_until: now,
                asked_at: None,
            }),
            told: watch::Sender::new(()),
            woken: Notify::new(),
        }
    }
}

/// No two have the same places.
fn new_ring() -> Ring {
    let id = u64::try_from(identity::seed() >> 64).expect("half of the bits");
    Ring::new(id)
}

impl Changes {
    pub(super) fn listen(self: &Arc<Self>) -> Listener {
        let told = self.told.subscribe();
        self.inner.lock().listeners += 1;
        self.is_open.store(true, Ordering::Release);
        self.watched();
        self.woken.notify_one();
        Listener {
            changes: Arc::clone(self),
            told,
        }
    }

    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether anybody listens, here or elsewhere: then what no signal tells otherwise is told, too.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Somebody listens, here or elsewhere.
    pub(crate) fn watched(&self) {
        self.inner.lock().watched_until = Instant::now() + WATCHED_FOR;
        if !self.is_watched.swap(true, Ordering::Relaxed) {
            self.woken.notify_one();
        }
    }

    /// The others were asked to tell what nobody else needs to know.
    pub(crate) fn asked(&self) {
        self.watched();
        self.inner.lock().asked_at.get_or_insert_with(Instant::now);
        self.told.send_replace(());
    }

    /// From when on the others tell everything; `None` if they were not asked yet.
    pub(super) fn heard_at(&self) -> Option<Instant> {
        self.inner.lock().asked_at.map(|asked| asked + HEARD_AFTER)
    }

    /// Looks whether anybody listens still; whether what changes is to be told here. It is for a while after the last has gone.
    pub(crate) fn look(&self) -> bool {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        if inner.watched_until <= now {
            self.is_watched.store(false, Ordering::Relaxed);
        }
        let listens = inner.listeners > 0;
        if !listens && now.duration_since(inner.left_at) >= LINGER && self.is_open() {
            // From here on changes pass unnoticed: no place of this ring may lead on.
            self.is_open.store(false, Ordering::Release);
            inner.ring = new_ring();
            inner.noticed = Noticed::default();
            inner.asked_at = None;
        }
        self.is_open()
    }

    pub(crate) fn notice(&self, tasks: &[TaskId], sagas: &[SagaId]) {
        if !self.is_open() {
            return;
        }
        let mut inner = self.inner.lock();
        inner.noticed.tasks.extend(tasks);
        inner.noticed.sagas.extend(sagas);
        if inner.noticed.tasks.len() + inner.noticed.sagas.len() > NOTICED_MAX {
            drop(inner);
            self.lost();
        }
    }

    /// Something was not noticed, or could not be read: all who follow are told that they have missed something.
    pub(crate) fn lost(&self) {
        if !self.is_open() {
            return;
        }
        {
            let mut inner = self.inner.lock();
            inner.noticed = Noticed::default();
            inner.ring = new_ring();
        }
        self.told.send_replace(());
    }

    pub(crate) fn take_noticed(&self) -> Noticed {
        std::mem::take(&mut self.inner.lock().noticed)
    }

    /// Keeps what was read.
    pub(crate) fn tell(&self, read: impl IntoIterator<Item = What>) {
        let mut any = false;
        {
            let mut inner = self.inner.lock();
            for what in read {
                any |= inner.ring.add(what);
            }
        }
        if any {
            self.told.send_replace(());
        }
    }

    /// The place of the newest change.
    pub(super) fn newest(&self) -> ChangeId {
        self.inner.lock().ring.newest()
    }

    pub(super) fn behind(&self, place: ChangeId, most: usize) -> From {
        self.inner.lock().ring.behind(place, most)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut inner = self.changes.inner.lock();
        inner.listeners -= 1;
        inner.left_at = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn task() -> TaskId {
        TaskId(Uuid::from_u128(1))
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_noticed_unless_somebody_listens_or_did_a_moment_ago() {
        let changes = Arc::new(Changes::default());
        changes.notice(&[task()], &[]);
        assert_eq!(changes.take_noticed(), Noticed::default());
        let before = changes.newest();
        let listener = changes.listen();
        changes.notice(&[task()], &[]);
        assert!(changes.look());
        assert_eq!(changes.take_noticed().tasks.len(), 1);
        drop(listener);
        tokio::time::advance(LINGER / 2).await;
        assert!(
            changes.look() && changes.is_open(),
            "whoever comes again misses nothing, so the others are asked to go on"
        );
        assert_eq!(
            changes.behind(before, 1),
            From::Kept {
                changes: vec![],
                next: before.sequence
            }
        );
        tokio::time::advance(LINGER).await;
        assert!(!changes.look() && !changes.is_open());
        assert_eq!(changes.behind(before, 1), From::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_faster_than_it_is_read_is_lost_and_that_is_told() {
        let changes = Arc::new(Changes::default());
        let mut listener = changes.listen();
        let before = changes.newest();
        let many: Vec<TaskId> = (0..=NOTICED_MAX)
            .map(|number| TaskId(Uuid::from_u128(number as u128)))
            .collect();
        changes.notice(&many, &[]);
        listener.told.changed().await.expect("it is told");
        assert_eq!(changes.behind(before, 1), From::Lost);
        assert_eq!(changes.take_noticed(), Noticed::default());
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_told_for_as_long_as_somebody_asks_for_it() {
        let changes = Changes::default();
        assert!(!changes.is_watched());
        changes.watched();
        changes.look();
        assert!(changes.is_watched());
        tokio::time::advance(WATCHED_FOR).await;
        changes.look();
        assert!(!changes.is_watched());
    }
}
