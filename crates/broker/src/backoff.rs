//! How long to wait before the next try.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A connection that breaks once is back before anyone notices.
const FIRST: Duration = Duration::from_millis(200);
/// Work must resume within 10 s of the broker's return, so no pause may be near that.
const LONGEST: Duration = Duration::from_secs(5);

/// What lasted this long did work: the failure after it is a first one. It also bounds how often something that breaks
/// as soon as it is made is made again.
const PROVEN_AFTER: Duration = Duration::from_secs(1);

/// Pauses that double up to [`LONGEST`], each shortened by up to a half at random, so that many processes that lost the
/// same server do not come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause after something that lasted this long.
    pub(crate) fn pause_after(&mut self, lasted: Duration) -> Duration {
        if lasted >= PROVEN_AFTER {
            *self = Self::new();
        }
        self.pause()
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        let half = pause / 2;
        half + half * chance() / u32::from(u16::MAX)
    }
}

/// From 0 to 65,535. The standard library's hasher keys are the randomness: enough for jitter, and no dependency.
fn chance() -> u32 {
    u32::from(u16::from_le_bytes(std::array::from_fn({
        let bytes = RandomState::new().build_hasher().finish().to_le_bytes();
        move |position| bytes[position]
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::new();
        let mut whole = FIRST;
        for _ in 0..20 {
            let pause = backoff.pause_after(Duration::ZERO);
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
        assert!(backoff.pause_after(PROVEN_AFTER) <= FIRST);
    }
}
