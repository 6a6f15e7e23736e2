//! The one clock, and the only module that reads the machine's.
//!
//! Every decision takes `now` from here: the database's time at the last sample, plus the *monotonic* time since its
//! answer arrived. So all processes agree to within a network round trip, none runs ahead of the database, and a jump of
//! a host's wall clock changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestratum_core::Timestamp;
use parking_lot::Mutex;

#[derive(Debug, Clone)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    Database(Mutex<Sample>),
    Manual(Mutex<Timestamp>),
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    database: Timestamp,
    answered: Instant,
}

impl Clock {
    /// A clock that goes on from the time the database just answered.
    pub fn from_sample(database: Timestamp) -> Self {
        Self(Arc::new(Source::Database(Mutex::new(Sample {
            database,
            answered: monotonic_now(),
        }))))
    }

    /// A clock that only a test moves.
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual(Mutex::new(start))))
    }

    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::Database(sample) => {
                let sample = *sample.lock();
                sample.database + monotonic_now().saturating_duration_since(sample.answered)
            }
            Source::Manual(now) => *now.lock(),
        }
    }

    /// Takes over a time that the database has just answered.
    pub fn resample(&self, database: Timestamp) {
        match &*self.0 {
            Source::Database(sample) => {
                *sample.lock() = Sample {
                    database,
                    answered: monotonic_now(),
                }
            }
            Source::Manual(_) => {}
        }
    }

    /// Moves a manual clock; the others take no orders.
    pub fn advance(&self, duration: Duration) {
        if let Source::Manual(now) = &*self.0 {
            let mut now = now.lock();
            *now = *now + duration;
        }
    }
}

/// For measuring and for deadlines of our own: never goes back, says nothing about the date.
#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub fn monotonic_now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_the_sample_and_never_before_it() {
        let start = Timestamp::from_micros(1_000_000);
        let clock = Clock::from_sample(start);
        let first = clock.now();
        assert!(first >= start && first < start + Duration::from_secs(10));
        clock.resample(Timestamp::from_micros(5_000_000));
        assert!(clock.now() >= Timestamp::from_micros(5_000_000));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp::EPOCH);
        clock.resample(Timestamp::MAX);
        assert_eq!(clock.now(), Timestamp::EPOCH);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), Timestamp::from_micros(2_000_000));
    }
}
