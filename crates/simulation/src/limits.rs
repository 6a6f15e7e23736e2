//! The time constants of the product, in virtual microseconds.

use orchestratum_core::Timestamp;

/// Virtual time, and spans of it, in microseconds.
pub(crate) type Micros = i64;

pub(crate) const MILLISECOND: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000 * MILLISECOND;

/// L: a worker that was not heard of for so long is dead.
pub(crate) const LEASE: Micros = 30 * SECOND;

/// L/3. The product renews every 2 s; safety must not need more than this, and a schedule has fewer dull steps.
pub(crate) const RENEWAL: Micros = 10 * SECOND;

/// A renewal that got no answer is repeated after this.
pub(crate) const RENEWAL_AGAIN: Micros = 2 * SECOND;

/// The deadline on the answer of a renewal. It bounds how far behind a worker's clock can be after a slow sample.
pub(crate) const RENEWAL_DEADLINE: Micros = 2 * SECOND;

/// The deadline on the answer of any other statement.
pub(crate) const STATEMENT_DEADLINE: Micros = 5 * SECOND;

/// S: the loops look this often.
pub(crate) const PULSE: Micros = SECOND;

/// P: an idle worker looks for work by itself this often.
pub(crate) const TOP_UP: Micros = 5 * SECOND;

/// A worker that did not report is given this long after the deadline before the sweeper ends the attempt.
pub(crate) const EXPIRY_GRACE: Micros = 3 * SECOND;

/// TERM to KILL on a cancel, a timeout and a drain.
pub(crate) const KILL_GRACE: Micros = 5 * SECOND;

/// TERM to KILL at the time-to-live.
pub(crate) const KILL_GRACE_AT_DEADLINE: Micros = SECOND;

/// A message is published again when its row is still there after this.
pub(crate) const PUBLISH_AGAIN: Micros = 30 * SECOND;

/// A name that no live worker of the target has offered for this long has no handler.
pub(crate) const NOT_OFFERED: Micros = 30 * SECOND;

/// The window of messages per target; small, so that schedules of three tasks fill it.
pub(crate) const WINDOW: usize = 2;

/// Tasks at once in one worker.
pub(crate) const CAPACITY: usize = 2;

/// Everything must be over this long after the last fault: the longest handler, every retry of a name that nobody
/// offers, and each loss with its lease.
pub(crate) const LIVENESS: Micros = 300 * SECOND;

/// Where every schedule starts; not zero, so that "before" exists.
pub(crate) const START: Micros = 100 * SECOND;

pub(crate) const fn timestamp(micros: Micros) -> Timestamp {
    Timestamp::from_micros(micros)
}
