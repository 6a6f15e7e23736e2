//! How much may be under way at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A number of places. One loop takes them, anyone gives them back.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    taken: AtomicUsize,
    /// Told when a place becomes free after there was none: the loop waits in no other case.
    freed: Arc<Notify>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

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
        self.total.saturating_sub(self.taken.load(Ordering::Acquire))
    }

    /// Takes a place even if none is free: what is claimed has to go somewhere. Claims stop when none is free.
    pub(crate) fn take(self: &Arc<Self>) -> Slot {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Slot(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::AcqRel) >= self.0.total {
            self.0.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_becomes_free_after_none_was_is_announced() {
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
