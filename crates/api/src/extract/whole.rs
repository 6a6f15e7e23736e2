//! Whole numbers of a body. Whatever is wrong with one is told with the range that is allowed and what was given.

use std::fmt;

use orchestratum_core::task::{PRIORITY_MAX, RETRIES_MAX};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// Out of its range it is read nevertheless, so that it is told of together with the other broken rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: i64, const MAX: i64>(i64);

pub(crate) type Priority = Whole<0, { PRIORITY_MAX as i64 }>;
pub(crate) type Retries = Whole<0, { RETRIES_MAX as i64 }>;

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// The rule, if the number breaks it.
    pub(crate) fn broken(self) -> Option<String> {
        (!(MIN..=MAX).contains(&self.0)).then(|| rule::<MIN, MAX>(self.0))
    }
}

impl<const MIN: i64, const MAX: i64> Serialize for Whole<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Numbers)
    }
}

struct Numbers<const MIN: i64, const MAX: i64>;

impl<const MIN: i64, const MAX: i64> Visitor<'_> for Numbers<MIN, MAX> {
    type Value = Whole<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Whole(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let value = i64::try_from(value).map_err(|_| E::custom(rule::<MIN, MAX>(value)))?;
        Ok(Whole(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // As short as it can be written.
        Err(E::custom(rule::<MIN, MAX>(format_args!("{value:?}"))))
    }
}

fn rule<const MIN: i64, const MAX: i64>(given: impl fmt::Display) -> String {
    format!("must be a whole number from {MIN} to {MAX}, not {given}")
}
