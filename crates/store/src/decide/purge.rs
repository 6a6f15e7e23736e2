//! How far retention looks.

use std::time::Duration;

use orchestratum_core::Timestamp;
use uuid::Uuid;

/// How far the clock that made an id may have been ahead of the one that wrote `finished_at`.
const SLACK: Duration = Duration::from_secs(5 * 60);

/// Where the scan for tasks that finished before `before` ends.
///
/// Ids hold the time of creation and nothing finishes before it is created, so what finished long ago stands first,
/// and what is too young is not read at every pass. An id that a caller chose may lie up to a day ahead of its task's
/// creation: such a task is purged up to a day later.
pub(crate) fn purge_ends_at(before: Timestamp) -> Uuid {
    let milliseconds = u64::try_from((before + SLACK).as_micros() / 1_000).unwrap_or(0);
    Uuid::from_u64_pair(milliseconds << 16, 0)
}
