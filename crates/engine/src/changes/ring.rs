//! The newest changes of this process, in the order in which it learnt of them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use orchestratum_store::{SagaOverview, TaskOverview};
use uuid::Uuid;

/// How many changes are kept for those who come again.
pub(super) const KEPT: usize = 10_000;

/// The place of a change. Another ring, of another process or after something was lost, has other places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeId {
    pub(super) ring: u64,
    pub(super) sequence: u64,
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.ring, self.sequence)
    }
}

/// The text is no place of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event, such as 00c0ffee00c0ffee-17")]
pub struct InvalidChangeId;

impl FromStr for ChangeId {
    type Err = InvalidChangeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ring, sequence) = text.split_once('-').ok_or(InvalidChangeId)?;
        let is_plain = ring.len() == 16
            && ring.bytes().all(|byte| byte.is_ascii_hexdigit())
            && sequence.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = || Some((u64::from_str_radix(ring, 16).ok()?, sequence.parse().ok()?));
        let (ring, sequence) = parsed().filter(|_| is_plain).ok_or(InvalidChangeId)?;
        Ok(Self { ring, sequence })
    }
}

/// Something that changed, as it stood when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Task(TaskOverview),
    Saga(SagaOverview),
}

impl What {
    fn id_and_version(&self) -> (Uuid, u64) {
        match self {
            Self::Task(task) => (task.task.0, u64::from(task.version)),
            Self::Saga(saga) => (saga.saga.0, saga.version),
        }
    }
}

/// A change with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub id: ChangeId,
    pub what: What,
}

#[derive(Debug)]
pub(super) struct Ring {
    id: u64,
    /// Of the next change.
    next: u64,
    kept: VecDeque<Arc<Change>>,
    /// The newest version of everything that is kept: what is signalled twice is told once.
    versions: HashMap<Uuid, u64>,
}

/// What there is from a place on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum From {
    /// In their order, and where to go on; maybe none.
    Kept { changes: Vec<Arc<Change>>, next: u64 },
    /// The place is none of this ring, or no longer.
    Lost,
}

impl Ring {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            next: 1,
            kept: VecDeque::new(),
            versions: HashMap::new(),
        }
    }

    /// The place of the newest change; of nothing, if there is none.
    pub(super) fn newest(&self) -> ChangeId {
        ChangeId {
            ring: self.id,
            sequence: self.next - 1,
        }
    }

    /// `false` if it is known already.
    pub(super) fn add(&mut self, what: What) -> bool {
        let (id, version) = what.id_and_version();
        if self.versions.get(&id).is_some_and(|known| *known >= version) {
            return false;
        }
        self.versions.insert(id, version);
        let place = ChangeId {
            ring: self.id,
            sequence: self.next,
        };
        self.next += 1;
        self.kept.push_back(Arc::new(Change { id: place, what }));
        if self.kept.len() > KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            let (id, version) = oldest.what.id_and_version();
            if self.versions.get(&id) == Some(&version) {
                self.versions.remove(&id);
            }
        }
        true
    }

    /// At most so many behind a place.
    pub(super) fn behind(&self, place: ChangeId, most: usize) -> From {
        let first = self.next - self.kept.len() as u64;
        if place.ring != self.id || place.sequence + 1 < first || place.sequence >= self.next {
            return From::Lost;
        }
        let skipped = usize::try_from(place.sequence + 1 - first).expect("no more than are kept");
        let changes: Vec<_> = self.kept.iter().skip(skipped).take(most).cloned().collect();
        From::Kept {
            next: place.sequence + changes.len() as u64,
            changes,
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::TaskId;
    use orchestratum_core::task::TaskStatus;

    use super::*;

    fn task(id: u128, version: u32) -> What {
        What::Task(TaskOverview {
            task: TaskId(Uuid::from_u128(id)),
            name: "echo".parse().expect("a name"),
            target: "default".parse().expect("a name"),
            status: TaskStatus::Pending,
            run: 1,
            attempt: 0,
            saga: None,
            version,
        })
    }

    fn behind(ring: &Ring, sequence: u64, most: usize) -> Option<(Vec<u64>, u64)> {
        let place = ChangeId { ring: 7, sequence };
        match ring.behind(place, most) {
            From::Kept { changes, next } => Some((changes.iter().map(|change| change.id.sequence).collect(), next)),
            From::Lost => None,
        }
    }

    #[test]
    fn what_is_kept_is_read_from_any_place_and_what_is_gone_is_lost() {
        let mut ring = Ring::new(7);
        assert_eq!(behind(&ring, 0, 10), Some((vec![], 0)), "nothing yet");
        assert_eq!(behind(&ring, 1, 10), None, "not of this ring");
        for number in 0..KEPT + 2 {
            assert!(ring.add(task(number as u128, 1)));
        }
        assert_eq!(behind(&ring, 1, 10), None, "the second is gone");
        assert_eq!(behind(&ring, 2, 2), Some((vec![3, 4], 4)));
        let newest = ring.newest();
        assert_eq!(behind(&ring, newest.sequence, 2), Some((vec![], newest.sequence)));
        assert_eq!(ring.versions.len(), KEPT, "nothing is remembered of what is gone");
        assert_eq!(Ring::new(8).behind(newest, 2), From::Lost);
    }

    #[test]
    fn a_version_is_told_once() {
        let mut ring = Ring::new(7);
        assert!(ring.add(task(1, 2)));
        assert!(!ring.add(task(1, 2)), "signalled twice");
        assert!(!ring.add(task(1, 1)), "read late");
        assert!(ring.add(task(1, 3)));
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = ChangeId {
            ring: 0xc0_ffee,
            sequence: 17,
        };
        assert_eq!(place.to_string(), "0000000000c0ffee-17");
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in [
            "",
            "17",
            "c0ffee-17",
            "0000000000c0ffee-",
            "0000000000c0ffee-+1",
            "+000000000c0ffee-1",
            "-",
        ] {
            assert_eq!(wrong.parse::<ChangeId>(), Err(InvalidChangeId), "{wrong}");
        }
    }
}
