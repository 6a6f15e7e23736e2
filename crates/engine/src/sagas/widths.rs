//! How many sagas are looked at in one transaction.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most.
pub(super) const LOOKED_AT_ONCE: usize = 256;

/// Whether it is the first time that it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    /// Others before it were enough for a look. These have a line of their own: whatever costs little does not wait behind them.
    Again,
}

/// How many sagas the next look takes. One that costs much does not come to all of them: what it has read of the others is read
/// again, so fewer are tried then, and more again where all were looked at.
#[derive(Debug)]
pub(super) struct Width(AtomicUsize);

impl Default for Width {
    fn default() -> Self {
        Self(AtomicUsize::new(LOOKED_AT_ONCE))
    }
}

impl Width {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn narrow(&self, most: usize) {
        self.0.fetch_min(most, Ordering::Relaxed);
    }

    /// So many were tried, and so many of them not looked at to the end.
    fn learn(&self, tried: usize, cut: usize) {
        let width = self.get();
        if cut > 0 {
            self.0.store(tried.saturating_sub(cut).max(1), Ordering::Relaxed);
        } else if tried >= width && width < LOOKED_AT_ONCE {
            self.0.store((width * 2).min(LOOKED_AT_ONCE), Ordering::Relaxed);
        }
    }
}

/// Those of the first and of the later tries.
#[derive(Debug, Default)]
pub(crate) struct Widths {
    first: Width,
    again: Width,
}

impl Widths {
    pub(super) const fn of(&self, turn: Turn) -> &Width {
        match turn {
            Turn::First => &self.first,
            Turn::Again => &self.again,
        }
    }

    /// First tries stay as wide as they are: what they do not come to is tried again, and those that cost little get through.
    pub(super) fn looked(&self, turn: Turn, tried: usize, cut: usize) {
        if turn == Turn::First {
            self.first.learn(tried, 0);
        }
        if turn == Turn::Again || cut > 0 {
            self.again.learn(tried, cut);
        }
    }

    /// So many were too many at once: they took too long, or are too large. Those that are tried again are fewer, too.
    pub(super) fn overdone(&self, turn: Turn, tried: usize) {
        let fewer = (tried / 2).max(1);
        self.of(turn).narrow(fewer);
        self.again.narrow(fewer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_too_many_at_once_is_tried_again_with_fewer() {
        let widths = Widths::default();
        widths.overdone(Turn::First, LOOKED_AT_ONCE);
        assert_eq!((widths.first.get(), widths.again.get()), (128, 128));
        widths.overdone(Turn::Again, 3);
        assert_eq!((widths.first.get(), widths.again.get()), (128, 1));
        widths.overdone(Turn::First, 128);
        assert_eq!((widths.first.get(), widths.again.get()), (64, 1), "never wider");
    }

    #[test]
    fn looks_take_as_many_sagas_as_they_come_to() {
        let width = Width::default();
        width.learn(200, 0);
        assert_eq!(width.get(), LOOKED_AT_ONCE);
        width.learn(200, 197);
        assert_eq!(width.get(), 3);
        width.learn(3, 3);
        assert_eq!(width.get(), 1, "there is always one");
        width.learn(1, 0);
        width.learn(1, 0);
        assert_eq!(width.get(), 2, "a look at fewer tells nothing");
        for _ in 0..10 {
            width.learn(width.get(), 0);
        }
        assert_eq!(width.get(), LOOKED_AT_ONCE);
    }
}
