//! How far an attempt is, by its own word.

use serde::Serialize;

/// A share of the work, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Progress(f64);

/// The number is none, or lies outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1")]
pub struct InvalidProgress;

// The one number that is not equal to itself is none of these.
impl Eq for Progress {}

impl Progress {
    /// # Errors
    /// If the number is not from 0 to 1.
    pub fn new(share: f64) -> Result<Self, InvalidProgress> {
        if (0.0..=1.0).contains(&share) {
            // Makes the plain 0 of the negative one, which databases and JSON would keep apart.
            Ok(Self(share + 0.0))
        } else {
            Err(InvalidProgress)
        }
    }

    pub const fn share(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_is_a_share() {
        for share in [0.0, f64::MIN_POSITIVE, 0.5, 1.0] {
            assert!(Progress::new(share).is_ok(), "{share}");
        }
        for no_share in [-0.1, 1.000_001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Progress::new(no_share), Err(InvalidProgress), "{no_share}");
        }
        let zero = Progress::new(-0.0).expect("it is 0");
        assert_eq!(serde_json::to_string(&zero).expect("a number"), "0.0");
    }
}
