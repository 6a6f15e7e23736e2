//! How often a task is tried again, and how long it waits before that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wait between a failed attempt and the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// At once, as the seed library did.
    None,
    Fixed {
        delay: Duration,
    },
    /// `delay`, twice that, four times that, and so on up to `max_delay`.
    Exponential {
        delay: Duration,
        max_delay: Duration,
        jitter: bool,
    },
}

impl Backoff {
    /// What a task gets that names no back-off: 1 s doubling up to 5 min, with jitter.
    pub const DEFAULT: Self = Self::Exponential {
        delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(300),
        jitter: true,
    };

    /// The wait before the next attempt, after `failures` (1 or more) failed ones of this run.
    ///
    /// `chance` is a number in `[0, 1)`. With jitter the wait lies evenly between half and the whole of the computed
    /// one ("equal jitter"): tasks that failed together do not come back together, yet none comes back at once.
    /// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    pub fn wait(&self, failures: u32, chance: f64) -> Duration {
        match *self {
            Self::None => Duration::ZERO,
            Self::Fixed { delay } => delay,
            Self::Exponential {
                delay,
                max_delay,
                jitter,
            } => {
                // 2^31 seconds is beyond every cap, so a larger exponent changes nothing.
                let doublings = failures.saturating_sub(1).min(31);
                let whole = delay.saturating_mul(1 << doublings).min(max_delay);
                if jitter {
                    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
                } else {
                    whole
                }
            }
        }
    }
}

/// The budgets of one run and the wait between attempts.
///
/// `max_retries = N` means N + 1 attempts that may fail. A lost worker does not use a retry but one of `max_losses`,
/// and an attempt that was handed back uses neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub max_retries: u16,
    pub max_losses: u16,
    pub backoff: Backoff,
}

impl RetryPolicy {
    pub const DEFAULT: Self = Self {
        max_retries: 0,
        max_losses: 3,
        backoff: Backoff::DEFAULT,
    };
}

/// The stored and the wire form of a [`Backoff`]: seconds as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum BackoffForm {
    None,
    Fixed {
        delay_seconds: f64,
    },
    Exponential {
        #[serde(default = "one_second")]
        delay_seconds: f64,
        #[serde(default = "five_minutes")]
        max_delay_seconds: f64,
        #[serde(default = "yes")]
        jitter: bool,
    },
}

fn one_second() -> f64 {
    1.0
}

fn five_minutes() -> f64 {
    300.0
}

fn yes() -> bool {
    true
}

/// The longest wait a caller may ask for: one day.
const MAX_WAIT_SECONDS: f64 = 86_400.0;

fn wait_of(seconds: f64) -> Result<Duration, String> {
    if (0.0..=MAX_WAIT_SECONDS).contains(&seconds) {
        // Whole milliseconds, so that the stored form reads back to the same value.
        Ok(Duration::from_millis(
            u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap_or(u64::MAX),
        ))
    } else {
        Err(format!(
            "a back-off delay must lie between 0 and {MAX_WAIT_SECONDS} seconds, not {seconds}"
        ))
    }
}

impl Serialize for Backoff {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::None => BackoffForm::None,
            Self::Fixed { delay } => BackoffForm::Fixed {
                delay_seconds: delay.as_secs_f64(),
            },
            Self::Exponential {
                delay,
                max_delay,
                jitter,
            } => BackoffForm::Exponential {
                delay_seconds: delay.as_secs_f64(),
                max_delay_seconds: max_delay.as_secs_f64(),
                jitter,
            },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not at once: the form would take an array, too.
        let object = serde_json::Map::deserialize(deserializer)?;
        let form = BackoffForm::deserialize(serde_json::Value::Object(object)).map_err(serde::de::Error::custom)?;
        (|| {
            Ok(match form {
                BackoffForm::None => Self::None,
                BackoffForm::Fixed { delay_seconds } => Self::Fixed {
                    delay: wait_of(delay_seconds)?,
                },
                BackoffForm::Exponential {
                    delay_seconds,
                    max_delay_seconds,
                    jitter,
                } => Self::Exponential {
                    delay: wait_of(delay_seconds)?,
                    max_delay: wait_of(max_delay_seconds)?,
                    jitter,
                },
            })
        })()
        .map_err(|message: String| serde::de::Error::custom(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPONENTIAL: Backoff = Backoff::Exponential {
        delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(10),
        jitter: false,
    };

    #[test]
    fn exponential_waits_double_up_to_the_cap() {
        let waits: Vec<u64> = (1..=6)
            .map(|failures| EXPONENTIAL.wait(failures, 0.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(EXPONENTIAL.wait(u32::MAX, 0.0).as_secs(), 10);
    }

    #[test]
    fn jitter_keeps_the_wait_between_half_and_whole() {
        let jittered = Backoff::Exponential {
            delay: Duration::from_secs(8),
            max_delay: Duration::from_secs(60),
            jitter: true,
        };
        assert_eq!(jittered.wait(1, 0.0).as_secs(), 4);
        assert_eq!(jittered.wait(1, 1.0).as_secs(), 8);
    }

    #[test]
    fn the_text_form_reads_back() {
        for backoff in [
            Backoff::None,
            Backoff::Fixed {
                delay: Duration::from_millis(1500),
            },
            Backoff::DEFAULT,
        ] {
            let text = serde_json::to_string(&backoff).expect("writes");
            assert_eq!(
                serde_json::from_str::<Backoff>(&text).expect("reads"),
                backoff,
                "{text}"
            );
        }
    }

    #[test]
    fn a_delay_outside_a_day_is_refused() {
        for wrong in ["-1", "86401", "1e300"] {
            let text = format!(r#"{{"kind": "fixed", "delay_seconds": {wrong}}}"#);
            assert!(serde_json::from_str::<Backoff>(&text).is_err(), "{text}");
        }
    }
}
