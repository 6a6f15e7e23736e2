//! Cron expressions in a time zone. The one place that knows the crates for both.
//!
//! Whether an expression names hours says what it means where the clock of a zone is changed. `15 2,14 * * *` is about what people do
//! by the clock: what falls into the gap of a clock that goes forward comes at its end, and of an hour that comes twice only the
//! first counts. An expression with `*` for the hour is about what passes: it has no time in a gap, and one in both hours.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};

use super::wall::{Shown, put_back_at, time_on};
use crate::time::Timestamp;

/// The longest expression: every minute of an hour can be listed in it.
pub const CRON_MAX_LENGTH: usize = 255;

const SECOND_MICROS: i64 = 1_000_000;

/// An expression that names at least one time, and the zone whose clock it means.
#[derive(Clone)]
pub struct Cron {
    text: Box<str>,
    zone: Tz,
    /// Asked about times on the clock, never about the zone.
    expression: Box<croner::Cron>,
    hours: Hours,
}

/// Which hours of a day an expression means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hours {
    /// Those that it names.
    Named,
    /// Those that pass.
    Passing,
}

impl Hours {
    /// Of an expression that is one.
    fn of(text: &str) -> Self {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let passing = match fields[..] {
            [_, hour, _, _, _] | [_, _, hour, _, _, _] => hour.contains(['*', '?']),
            _ => text.trim().eq_ignore_ascii_case("@hourly"),
        };
        if passing { Self::Passing } else { Self::Named }
    }
}

/// Told with what the parser says, which names no field.
const RANGES: &str = "seconds (if there are six fields) and minutes go from 0 to 59, hours from 0 to 23, days from 1 to 31, months \
    from 1 to 12 or JAN to DEC, days of the week from 0 to 7 or SUN to SAT";

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    #[error(
        "must have 5 fields (minute, hour, day of month, month, day of week), or 6 with the second before them, not {0}"
    )]
    Fields(usize),
    #[error("must not be longer than {CRON_MAX_LENGTH} characters")]
    TooLong,
    #[error("is no cron expression: {0}")]
    Malformed(String),
    #[error("{0:?} is no time zone of the IANA database; there are such as \"UTC\" and \"Europe/Berlin\"")]
    UnknownZone(String),
}

impl Cron {
    /// # Errors
    /// [`InvalidCron`]; whether a time will ever come is another question, see [`next_after`](Self::next_after).
    pub fn parse(text: &str, zone: &str) -> Result<Self, InvalidCron> {
        let unknown_zone = |_| InvalidCron::UnknownZone(crate::shortened(zone, 100, "").into_owned());
        let zone = Tz::from_str(zone).map_err(unknown_zone)?;
        if text.len() > CRON_MAX_LENGTH {
            return Err(InvalidCron::TooLong);
        }
        let fields = text.split_whitespace().count();
        if !matches!(fields, 5 | 6) && !text.trim_start().starts_with('@') {
            return Err(InvalidCron::Fields(fields));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let expression = parser.parse(text).map_err(|error| {
            if text.starts_with('@') {
                return InvalidCron::Malformed(
                    "of words there are @yearly, @monthly, @weekly, @daily and @hourly".to_owned(),
                );
            }
            let told = error.to_string();
            let told = told.trim_end_matches('.');
            InvalidCron::Malformed(format!("{told}; {RANGES}"))
        })?;
        Ok(Self {
            text: text.into(),
            zone,
            expression: Box::new(expression),
            hours: Hours::of(text),
        })
    }

    /// As its caller wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first slot later than this; `None` if none will ever come.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let second = second_of(after)?;
        let next = match self.hours {
            Hours::Named => self.next_named(second),
            Hours::Passing => self.next_passing(second),
        };
        // Slots must only ever go on: whoever counts on it would not come to an end.
        next.map(Timestamp::from_datetime)
            .filter(|next| *next > after && *next <= Timestamp::MAX)
    }

    /// The last slot not later than this.
    pub(super) fn last_until(&self, until: Timestamp) -> Option<Timestamp> {
        let second = second_of(until)?;
        let last = match self.hours {
            Hours::Named => self.last_named(second),
            Hours::Passing => self.last_passing(second),
        };
        last.map(Timestamp::from_datetime).filter(|last| *last <= until)
    }

    fn next_named(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut time = time_on(self.zone, at);
        loop {
            time = self.next_time(time, false)?;
            // Times of an hour that came before are over.
            let slot = Shown::of(time, self.zone).first();
            if slot > at {
                return Some(slot);
            }
        }
    }

    fn last_named(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let time = self.put_back(at).map_or_else(
            || time_on(self.zone, at),
            |change| time_on(self.zone, change - TimeDelta::seconds(1)),
        );
        let time = self.last_time(time, true)?;
        Some(Shown::of(time, self.zone).first())
    }

    fn next_passing(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let now = time_on(self.zone, at);
        let (mut time, mut inclusive) = (now, false);
        let ahead = loop {
            let Some(next) = self.next_time(time, inclusive) else {
                break None;
            };
            match Shown::of(next, self.zone) {
                Shown::Twice(first, second) => break Some(if first > at { first } else { second }),
                Shown::Once(slot) => break Some(slot),
                Shown::Never { end, .. } => (time, inclusive) = (time_on(self.zone, end), true),
            }
        };
        // What the clock shows up to now it may show once more.
        let twice = Shown::of(now, self.zone).twice().filter(|(first, _)| *first == at);
        let again = twice.and_then(|(first, second)| {
            let change = time_on(self.zone, put_back_at(self.zone, first, second));
            let time = self.next_time(change, true).filter(|time| *time <= now)?;
            Shown::of(time, self.zone).twice().map(|(_, second)| second)
        });
        ahead.into_iter().chain(again).min()
    }

    fn last_passing(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut time, mut inclusive) = (time_on(self.zone, at), true);
        let behind = loop {
            let Some(last) = self.last_time(time, inclusive) else {
                break None;
            };
            match Shown::of(last, self.zone) {
                Shown::Twice(first, second) => break Some(if second <= at { second } else { first }),
                Shown::Once(slot) => break Some(slot),
                Shown::Never { begin, .. } => (time, inclusive) = (begin, false),
            }
        };
        // Later times on the clock were shown before it was put back.
        let before = self.put_back(at).and_then(|change| {
            let time = self.last_time(time_on(self.zone, change - TimeDelta::seconds(1)), true)?;
            Some(Shown::of(time, self.zone).first())
        });
        behind.into_iter().chain(before).max()
    }

    /// When the clock was put back, if it shows the time for the second time.
    fn put_back(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let twice = Shown::of(time_on(self.zone, at), self.zone).twice();
        let (first, second) = twice.filter(|(_, second)| *second == at)?;
        Some(put_back_at(self.zone, first, second))
    }

    fn next_time(&self, time: NaiveDateTime, inclusive: bool) -> Option<NaiveDateTime> {
        let next = self.expression.find_next_occurrence(&time.and_utc(), inclusive).ok()?;
        Some(next.naive_utc())
    }

    fn last_time(&self, time: NaiveDateTime, inclusive: bool) -> Option<NaiveDateTime> {
        let last = self
            .expression
            .find_previous_occurrence(&time.and_utc(), inclusive)
            .ok()?;
        Some(last.naive_utc())
    }
}

/// The second in which this lies.
fn second_of(time: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::<Utc>::from_timestamp(time.as_micros().div_euclid(SECOND_MICROS), 0)
}

/// Slots lie on whole seconds, so nothing lies between this and the second itself.
pub(super) fn just_before(time: Timestamp) -> Timestamp {
    time - Duration::from_micros(1)
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?} in {})", self.text, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn cron(text: &str, zone: &str) -> Cron {
        Cron::parse(text, zone).expect("an expression")
    }

    /// The first slots after `from`, as the clock in UTC shows them.
    fn slots(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let cron = cron(text, zone);
        let first = cron.next_after(at(from));
        std::iter::successors(first, |slot| cron.next_after(*slot))
            .take(count)
            .map(|slot| slot.to_string())
            .collect()
    }

    #[test]
    fn five_fields_begin_with_the_minute_and_six_with_the_second() {
        assert_eq!(
            slots("30 9 * * MON-FRI", "UTC", "2026-11-20T09:30:00Z", 2),
            ["2026-11-23T09:30:00Z", "2026-11-24T09:30:00Z"]
        );
        assert_eq!(
            slots("*/20 * * * * *", "UTC", "2026-11-20T09:30:00.5Z", 3),
            ["2026-11-20T09:30:20Z", "2026-11-20T09:30:40Z", "2026-11-20T09:31:00Z"]
        );
        assert_eq!(
            slots("@daily", "Asia/Tokyo", "2026-11-20T00:00:00Z", 1),
            ["2026-11-20T15:00:00Z"]
        );
    }

    #[test]
    fn the_end_of_a_month_and_a_leap_day_are_those_of_the_calendar() {
        assert_eq!(
            slots("0 12 L * *", "UTC", "2027-01-30T00:00:00Z", 3),
            ["2027-01-31T12:00:00Z", "2027-02-28T12:00:00Z", "2027-03-31T12:00:00Z"]
        );
        assert_eq!(
            slots("0 0 31 * *", "UTC", "2027-01-31T00:00:00Z", 2),
            ["2027-03-31T00:00:00Z", "2027-05-31T00:00:00Z"]
        );
        assert_eq!(
            slots("0 0 29 2 *", "UTC", "2026-11-20T00:00:00Z", 2),
            ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]
        );
        assert_eq!(
            slots("0 8 * * MON#1", "UTC", "2026-11-20T00:00:00Z", 2),
            ["2026-12-07T08:00:00Z", "2027-01-04T08:00:00Z"]
        );
    }

    #[test]
    fn in_the_gap_of_spring_a_daily_job_runs_at_its_end_and_frequent_ones_have_no_time_there() {
        // Berlin: on 2027-03-28, after 01:59:59 comes 03:00:00, which is 01:00 UTC.
        assert_eq!(
            slots("30 2 * * *", "Europe/Berlin", "2027-03-27T00:00:00Z", 3),
            ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]
        );
        assert_eq!(
            slots("*/30 * * * *", "Europe/Berlin", "2027-03-28T00:15:00Z", 4),
            [
                "2027-03-28T00:30:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-28T01:30:00Z",
                "2027-03-28T02:00:00Z"
            ]
        );
        // New York: on 2027-03-14, after 01:59:59 comes 03:00:00, which is 07:00 UTC.
        assert_eq!(
            slots("15 2 * * *", "America/New_York", "2027-03-13T12:00:00Z", 2),
            ["2027-03-14T07:00:00Z", "2027-03-15T06:15:00Z"]
        );
    }

    #[test]
    fn in_the_hour_that_autumn_repeats_a_daily_job_runs_once_and_frequent_ones_in_both() {
        // Berlin: on 2026-10-25, 02:00 to 03:00 comes twice, from 00:00 and from 01:00 UTC.
        assert_eq!(
            slots("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            slots("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]
        );
        assert_eq!(
            slots("0 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2),
            ["2026-11-01T05:00:00Z", "2026-11-02T06:00:00Z"]
        );
    }

    #[test]
    fn hours_that_are_named_come_once_each_however_many_they_are() {
        // Berlin, where clocks go forward on 2027-03-28 at 01:00 UTC, and back on 2026-10-25 at 01:00 UTC.
        assert_eq!(
            slots("15 2,14 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 4),
            [
                "2027-03-27T13:15:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-28T12:15:00Z",
                "2027-03-29T00:15:00Z"
            ]
        );
        assert_eq!(
            slots("15 2,14 * * *", "Europe/Berlin", "2026-10-24T12:30:00Z", 3),
            ["2026-10-25T00:15:00Z", "2026-10-25T13:15:00Z", "2026-10-26T01:15:00Z"]
        );
        // All that falls into the gap comes together at its end, also with what lies there anyway.
        for text in ["*/20 2 * * *", "0,20 2-3 28 3 *"] {
            assert_eq!(
                slots(text, "Europe/Berlin", "2027-03-27T23:00:00Z", 1),
                ["2027-03-28T01:00:00Z"],
                "{text}"
            );
        }
        assert_eq!(
            slots("0,20 2-3 * * *", "Europe/Berlin", "2027-03-28T01:00:00Z", 2),
            ["2027-03-28T01:20:00Z", "2027-03-29T00:00:00Z"]
        );
        // From the middle of the hour that comes again.
        assert_eq!(
            slots("45 2,3 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1),
            ["2026-10-25T02:45:00Z"]
        );
        let named = cron("45 2 * * *", "Europe/Berlin");
        assert_eq!(
            named.last_until(at("2026-10-25T01:10:00Z")),
            Some(at("2026-10-25T00:45:00Z"))
        );
        let passing = cron("45 * * * *", "Europe/Berlin");
        assert_eq!(
            passing.last_until(at("2026-10-25T01:10:00Z")),
            Some(at("2026-10-25T00:45:00Z"))
        );
        assert_eq!(
            passing.next_after(at("2026-10-25T00:50:00Z")),
            Some(at("2026-10-25T01:45:00Z"))
        );
        assert_eq!(
            slots("@hourly", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
            ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]
        );
    }

    #[test]
    fn an_hour_that_is_repeated_at_the_end_of_a_day_is_not_passed_over() {
        // Asunción: on 2024-03-24, after 23:59:59 comes 23:00:00 of the day before, which is 03:00 UTC.
        assert_eq!(
            slots("0 */23 23 3 *", "America/Asuncion", "2024-03-24T02:30:00Z", 1),
            ["2024-03-24T03:00:00Z"]
        );
    }

    #[test]
    fn what_is_no_expression_is_told_with_what_is_one() {
        for (text, told) in [
            (
                "* * * *",
                "must have 5 fields (minute, hour, day of month, month, day of week), or 6",
            ),
            ("", "must have 5 fields"),
            ("* * * * * * 2027", "must have 5 fields"),
            ("61 * * * *", "is no cron expression: "),
            ("* 25 * * *", "is no cron expression: "),
            ("a b c d e", "is no cron expression: "),
            ("@reboot", "is no cron expression: "),
            ("@", "is no cron expression: "),
        ] {
            let broken = Cron::parse(text, "UTC").expect_err(text).to_string();
            assert!(broken.starts_with(told), "{text}: {broken}");
        }
        assert_eq!(
            Cron::parse(&format!("{} * * * *", "1,".repeat(200)), "UTC"),
            Err(InvalidCron::TooLong)
        );
        for zone in ["Mars/Olympus", "", "europe/berlin ", "+02:00"] {
            assert_eq!(
                Cron::parse("* * * * *", zone),
                Err(InvalidCron::UnknownZone(zone.to_owned()))
            );
        }
    }

    #[test]
    fn an_expression_that_no_day_meets_never_comes_and_says_so_soon() {
        for dead in ["0 0 31 2 *", "0 0 30 2 *", "* * * 31 4,6,9,11 *", "*/5 * 31 2 *"] {
            assert_eq!(cron(dead, "UTC").next_after(at("2026-11-20T00:00:00Z")), None, "{dead}");
        }
    }

    proptest! {
        /// Across every change of the clock: slots go on, none is left out between two of them, and looking back finds them.
        #[test]
        fn slots_are_the_same_forwards_and_backwards(
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca",
            ]),
            text in prop::sample::select(vec![
                "30 2 * * *", "*/30 * * * *", "0 0 * * *", "15 1-3 * * *", "0 */2 * * *", "*/7 * * * * *", "0 0 1 * *",
                "15 2,14 * * *", "*/20 1,2 * * *",
            ]),
            start in 1_790_000_000_i64..1_830_000_000,
        ) {
            let cron = cron(text, zone);
            let mut slot = Timestamp::from_micros(start * SECOND_MICROS);
            for _ in 0..20 {
                let next = cron.next_after(slot).expect("always another one");
                prop_assert!(next > slot);
                prop_assert_eq!(next.as_micros() % SECOND_MICROS, 0);
                prop_assert_eq!(cron.next_after(just_before(next)), Some(next));
                let between = Timestamp::from_micros(next.as_micros() + SECOND_MICROS / 2);
                prop_assert_eq!(cron.last_until(between), Some(next));
                slot = next;
            }
        }
    }
}
