//! How often tasks of a target start, as an operator says.

use std::time::Duration;

use super::RATE_MAX;
use super::draft::{PER_SECONDS, milliseconds, seconds, whole};
use crate::task::rules::Violations;

/// `limit` starts in `per`, at most `burst` of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetRate {
    pub limit: u32,
    pub per: Duration,
    pub burst: u32,
}

impl TargetRate {
    /// Without a `burst` it is what is earned in a second, and one at least.
    ///
    /// # Errors
    /// All [`Violations`].
    pub fn check(limit: i64, per_seconds: f64, burst: Option<i64>) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        whole("/limit", limit, i64::from(RATE_MAX), &mut violations);
        seconds("/per_seconds", per_seconds, &PER_SECONDS, &mut violations);
        if let Some(burst) = burst {
            whole("/burst", burst, limit.clamp(1, i64::from(RATE_MAX)), &mut violations);
        }
        violations.into_result()?;
        let limit = u32::try_from(limit).unwrap_or(RATE_MAX);
        let per = Duration::from_millis(milliseconds(per_seconds));
        let a_second = (u128::from(limit) * 1_000).div_ceil(per.as_millis().max(1));
        let a_second = u32::try_from(a_second).unwrap_or(u32::MAX);
        let burst = burst.map(|burst| u32::try_from(burst).unwrap_or(limit));
        Ok(Self {
            limit,
            per,
            burst: burst.unwrap_or(a_second).clamp(1, limit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_that_of_a_second_unless_it_is_given() {
        for (limit, per_seconds, given, burst) in [
            (600, 60.0, None, 10),
            (1, 60.0, None, 1),
            (10, 0.5, None, 10),
            (10, 1.0, Some(3), 3),
        ] {
            let rate = TargetRate::check(limit, per_seconds, given).expect("it meets the rules");
            assert_eq!(rate.burst, burst, "{limit} in {per_seconds} s");
        }
        let broken = TargetRate::check(5, 0.0, Some(6)).expect_err("out of its range");
        let told: Vec<String> = broken.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "/per_seconds must lie between 0.001 and 2592000 seconds, not 0",
                "/burst must be a whole number from 1 to 5, not 6"
            ]
        );
    }
}
