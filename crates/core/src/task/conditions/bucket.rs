//! How often something may start: a bucket of starts that fills up again in even steps.

use std::time::Duration;

use crate::time::Timestamp;

/// `limit` starts in `per`, at most `burst` of them at once.
///
/// What was taken is kept as one time: when all of it is earned again. So a bucket that rests is full, and needs no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    pub limit: u32,
    pub per: Duration,
    pub burst: u32,
    pub spent_until: Timestamp,
}

impl Bucket {
    /// How many starts may be taken now.
    pub fn available(&self, now: Timestamp) -> u32 {
        let debt = self.spent_until.saturating_since(now).as_micros();
        let left = self.worth(self.burst).saturating_sub(debt);
        let starts = left * u128::from(self.limit) / self.per_micros();
        u32::try_from(starts).unwrap_or(u32::MAX).min(self.burst)
    }

    /// After so many starts were taken now.
    #[must_use]
    pub fn after(self, starts: u32, now: Timestamp) -> Self {
        Self {
            spent_until: self.spent_until.max(now) + micros(self.worth(starts)),
            ..self
        }
    }

    /// When the next start may be taken, past or ahead.
    pub fn opens_at(&self) -> Timestamp {
        self.spent_until - micros(self.worth(self.burst) - self.worth(1))
    }

    /// The time in which one start is earned.
    pub fn step(&self) -> Duration {
        micros(self.worth(1))
    }

    /// The time in which so many starts are earned, in microseconds, rounded up: a start is never earned too early.
    fn worth(&self, starts: u32) -> u128 {
        (self.per_micros() * u128::from(starts)).div_ceil(u128::from(self.limit.max(1)))
    }

    fn per_micros(&self) -> u128 {
        self.per.as_micros().max(1)
    }
}

fn micros(micros: u128) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn bucket(limit: u32, per_ms: u64, burst: u32) -> Bucket {
        Bucket {
            limit,
            per: Duration::from_millis(per_ms),
            burst,
            spent_until: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_bucket_that_rests_is_full_and_fills_up_in_even_steps() {
        let full = bucket(4, 1_000, 4);
        assert_eq!(full.available(NOW), 4);
        let empty = full.after(4, NOW);
        assert_eq!(empty.available(NOW), 0);
        assert_eq!(empty.opens_at(), NOW + Duration::from_millis(250));
        assert_eq!(empty.available(NOW + Duration::from_millis(249)), 0);
        assert_eq!(empty.available(NOW + Duration::from_millis(250)), 1);
        assert_eq!(empty.available(NOW + Duration::from_millis(600)), 2);
        assert_eq!(empty.available(NOW + Duration::from_secs(9)), 4);
    }

    #[test]
    fn a_burst_of_one_spreads_the_starts() {
        let mut now = NOW;
        let mut even = bucket(3, 1_000, 1);
        for _ in 0..9 {
            assert_eq!(even.available(now), 1);
            even = even.after(1, now);
            assert_eq!(even.available(now), 0);
            now = even.opens_at();
        }
        assert!(now.saturating_since(NOW) >= Duration::from_secs(3));
        assert!(now.saturating_since(NOW) < Duration::from_millis(3_001));
    }

    #[test]
    fn no_window_has_more_starts_than_the_burst_and_what_is_earned_in_it() {
        for (limit, per_ms, burst) in [
            (7, 1_000, 7),
            (100, 3_333, 10),
            (1_000_000, 1, 5),
            (1, 2_592_000_000, 1),
        ] {
            let mut bucket = bucket(limit, per_ms, burst);
            let per = bucket.per;
            let (mut now, mut taken) = (NOW, 0);
            for _ in 0..50 {
                let starts = bucket.available(now);
                assert!((1..=burst).contains(&starts), "it was said to be open");
                bucket = bucket.after(starts, now);
                taken += u128::from(starts);
                let earned = now.saturating_since(NOW).as_micros() * u128::from(limit) / per.as_micros();
                assert!(taken <= u128::from(burst) + earned, "{limit} in {per_ms} ms");
                now = bucket.opens_at().max(now);
            }
        }
    }
}
