//! Time since the start of the machine, sleep included: nobody sets it.

use nix::poll::PollTimeout;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

pub(super) fn now_milliseconds() -> i64 {
    // Linux has had this clock since 2.6.39; without it every deadline has passed, which is the safe side.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(i64::MAX, |time| time.num_milliseconds())
}

/// How long may be waited until then; for ever without an end.
pub(super) fn patience(until_milliseconds: Option<i64>) -> PollTimeout {
    until_milliseconds.map_or(PollTimeout::NONE, |until| {
        let left = until.saturating_sub(now_milliseconds()).max(0);
        // More than a poll can wait is waited in parts.
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    })
}
