//! The clocks of the client, and the only module that reads them.
//!
//! Everything runs on one machine, so the wall clock of the client, of PostgreSQL and of every handler is the same one:
//! times that different processes wrote down can be subtracted.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "measuring, and this is the module that may")]
pub(crate) fn monotonic_now() -> Instant {
    Instant::now()
}

/// Microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "measuring, and this is the module that may")]
pub(crate) fn wall_clock_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
