//! Between columns and the domain. A stored value that is not one we write names its table, column and row.

use std::fmt::Display;
use std::time::Duration;

use chrono::{DateTime, Utc};
use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskError;

use crate::Error;

pub(super) type Time = DateTime<Utc>;

/// A row, for the errors about its columns.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) row: &'a (dyn Display + Sync),
}

impl Place<'_> {
    pub(super) fn corrupt(&self, column: &'static str, detail: impl Display) -> Error {
        Error::Corrupt {
            table: self.table,
            column,
            row: self.row.to_string(),
            detail: detail.to_string(),
        }
    }

    /// Any conversion that fails only for damaged values.
    pub(super) fn take<T, E: Display>(&self, column: &'static str, result: Result<T, E>) -> Result<T, Error> {
        result.map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn present<T>(&self, column: &'static str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.corrupt(column, "it is missing"))
    }

    pub(super) fn number<T: TryInto<U>, U>(&self, column: &'static str, value: T) -> Result<U, Error>
    where
        T::Error: Display,
    {
        self.take(column, value.try_into())
    }

    pub(super) fn milliseconds(&self, column: &'static str, value: i64) -> Result<Duration, Error> {
        Ok(Duration::from_millis(self.number(column, value)?))
    }

    pub(super) fn task_error(&self, column: &'static str, text: Option<&str>) -> Result<Option<TaskError>, Error> {
        text.map(|text| self.take(column, serde_json::from_str(text)))
            .transpose()
    }
}

pub(super) fn time(timestamp: Timestamp) -> Time {
    timestamp.to_datetime()
}

pub(super) fn timestamp(time: Time) -> Timestamp {
    Timestamp::from_datetime(time)
}

/// Attempts, runs and versions grow by one at a time: none comes near the end of the column.
pub(super) fn int4(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Budgets are at most 1,000.
pub(super) fn int2(value: u16) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}

pub(super) fn int8(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
