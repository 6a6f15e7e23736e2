//! The clock of a time zone, as it hangs on a wall: it is put forward, and back.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

/// When a clock shows a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Once(DateTime<Utc>),
    /// Clocks are put back in between.
    Twice(DateTime<Utc>, DateTime<Utc>),
    /// Clocks are put forward over it: `begin` is the first time of those, and at `end` it is done.
    Never {
        begin: NaiveDateTime,
        end: DateTime<Utc>,
    },
}

pub(super) fn time_on(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

impl Shown {
    pub(super) fn of(time: NaiveDateTime, zone: Tz) -> Self {
        match zone.from_local_datetime(&time) {
            MappedLocalTime::Single(at) => Self::Once(at.to_utc()),
            MappedLocalTime::Ambiguous(one, other) => {
                let (one, other) = (one.to_utc(), other.to_utc());
                Self::Twice(one.min(other), one.max(other))
            }
            MappedLocalTime::None => {
                let gap = GapInfo::new(&time, &zone);
                let (begin, end) = gap.map_or((None, None), |gap| (gap.begin, gap.end));
                Self::Never {
                    begin: begin.map_or(time, |(begin, _)| begin),
                    end: end.map_or_else(|| time.and_utc(), |end| end.to_utc()),
                }
            }
        }
    }

    pub(super) const fn twice(self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        match self {
            Self::Twice(first, second) => Some((first, second)),
            Self::Once(_) | Self::Never { .. } => None,
        }
    }

    /// The first time; where there is none, when clocks have been put forward over it.
    pub(super) const fn first(self) -> DateTime<Utc> {
        match self {
            Self::Once(at) | Self::Twice(at, _) | Self::Never { end: at, .. } => at,
        }
    }
}

/// When clocks are put back, between the two times at which they show the same.
pub(super) fn put_back_at(zone: Tz, first: DateTime<Utc>, second: DateTime<Utc>) -> DateTime<Utc> {
    let is_before = |at: DateTime<Utc>| time_on(zone, at) - at.naive_utc() == time_on(zone, first) - first.naive_utc();
    let (mut before, mut after) = (first, second);
    while after - before > TimeDelta::seconds(1) {
        let between = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if is_before(between) {
            before = between;
        } else {
            after = between;
        }
    }
    after
}
