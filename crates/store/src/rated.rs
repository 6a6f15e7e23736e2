//! Which targets have a rate, as a process remembers it.

use std::collections::BTreeSet;
use std::time::Duration;

use orchestratum_core::{Target, Timestamp};
use parking_lot::Mutex;

/// How old that may be: a claim passes targets with a rate over by the rows, so it is only how late one is noticed.
const KEPT_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct RatedTargets(Mutex<Option<(Timestamp, BTreeSet<Target>)>>);

impl RatedTargets {
    /// Those of a worker; `None` if they are to be read again.
    pub(crate) fn of(&self, served: &[Target], now: Timestamp) -> Option<Vec<Target>> {
        let kept = self.0.lock();
        let (_, rated) = kept.as_ref().filter(|(read_at, _)| {
            now.saturating_since(*read_at) < KEPT_FOR && read_at.saturating_since(now) < KEPT_FOR
        })?;
        let mut targets: Vec<Target> = served
            .iter()
            .filter(|target| rated.contains(*target))
            .cloned()
            .collect();
        targets.sort_unstable();
        targets.dedup();
        Some(targets)
    }

    pub(crate) fn set(&self, rated: BTreeSet<Target>, now: Timestamp) {
        *self.0.lock() = Some((now, rated));
    }

    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }
}
