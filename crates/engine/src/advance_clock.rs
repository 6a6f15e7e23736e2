//! A clock that stands still is moved on, for tests of a whole server.

use std::ops::RangeInclusive;
use std::time::Duration;

use orchestratum_core::Timestamp;
use orchestratum_core::task::Violations;

use crate::clock::LATEST;
use crate::{Engine, Error};

/// How far it goes at once: a microsecond, to a year.
const SECONDS: RangeInclusive<f64> = 0.000_001..=31_622_400.0;

impl Engine {
    /// Moves a manual clock on by so much, and answers the time that it shows then. All that waits for a time looks at once, as if
    /// the time had passed in one step. Nobody loses a lease by that: workers had no time to renew it.
    ///
    /// # Errors
    /// [`Error::Invalid`] where that is too much or nothing.
    pub async fn advance_clock(&self, seconds: f64) -> Result<Timestamp, Error> {
        let clock = &self.parts.clock;
        // One after the other; and no lease is written by the time before, which nobody would lengthen.
        let _moving = clock.about_to_move().await;
        let now = clock.now();
        let by = check(seconds, now).map_err(Error::Invalid)?;
        // Before: nobody must see a lease that is over.
        self.parts.store.lengthen_leases(by, now).await?;
        clock.advance(by);
        tracing::info!(from = %now, to = %clock.now(), "the clock was moved by hand");
        Ok(clock.now())
    }
}

fn check(seconds: f64, now: Timestamp) -> Result<Duration, Violations> {
    const POINTER: &str = "/seconds";
    let mut violations = Violations::default();
    let by = if SECONDS.contains(&seconds) {
        Duration::from_secs_f64(seconds)
    } else {
        let (least, most) = (SECONDS.start(), SECONDS.end());
        violations.add(
            POINTER,
            format!("must lie between {least} and {most} seconds, not {seconds}"),
        );
        Duration::ZERO
    };
    if now + by > LATEST {
        violations.add(POINTER, format!("must not lead beyond {LATEST}: it is {now}"));
    }
    violations.into_result().map(|()| by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_by_something_and_not_beyond_the_calendar() {
        let told = |seconds, now| check(seconds, now).expect_err("refused").0[0].to_string();
        assert_eq!(LATEST.to_string(), "9999-01-01T00:00:00Z");
        assert_eq!(check(0.5, Timestamp::EPOCH), Ok(Duration::from_millis(500)));
        for seconds in [0.0, -900.0, 31_622_401.0, f64::INFINITY, f64::NAN] {
            let said = told(seconds, Timestamp::EPOCH);
            assert!(
                said.starts_with("/seconds must lie between 0.000001 and 31622400 seconds"),
                "{said}"
            );
        }
        assert_eq!(
            told(1.0, LATEST),
            "/seconds must not lead beyond 9999-01-01T00:00:00Z: it is 9999-01-01T00:00:00Z"
        );
    }
}
