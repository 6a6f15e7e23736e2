//! How much may be under way at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A number of places. One loop takes them, anyone gives them back.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    taken: AtomicUsize,
    /// Told when places are given back: they may be those that were missing beside the ones promised to claims.
    freed: Arc<Notify>,
}

/// A place, or several, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    count: usize,
}

impl Slots {
    pub(crate) fn new(total: usize, freed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            total,
            taken: AtomicUsize::new(0),
            freed,
        })
    }

    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn free(&self) -> usize {
        self.free_beside(0)
    }

    /// The same if there were so many more.
    pub(crate) fn free_beside(&self, more: usize) -> usize {
        (self.total + more).saturating_sub(self.taken.load(Ordering::Acquire))
    }

    /// Takes a place even if none is free: what is claimed has to go somewhere. Claims stop when none is free.
    pub(crate) fn take(self: &Arc<Self>) -> Slot {
        self.take_many(1)
    }

    /// The same for what weighs more than one place.
    pub(crate) fn take_many(self: &Arc<Self>, count: usize) -> Slot {
        self.taken.fetch_add(count, Ordering::AcqRel);
        Slot {
            slots: Arc::clone(self),
            count,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.fetch_sub(self.count, Ordering::AcqRel);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_becomes_free_is_announced() {
        let freed = Arc::new(Notify::new());
        let slots = Slots::new(2, Arc::clone(&freed));
        let (first, second) = (slots.take(), slots.take());
        assert_eq!(slots.free(), 0);
        drop(first);
        freed.notified().await;
        assert_eq!(slots.free(), 1);
        drop(second);
        assert_eq!(slots.free(), 2);
    }
}
