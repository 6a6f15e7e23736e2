//! What a list looks at: the way to its candidates, the range of ids, and where a page ends.

use std::time::Duration;

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, Timestamp};
use uuid::Uuid;

use crate::{Attempt, AttemptPage, Task, TaskFilter, TaskPage};

/// How far the time in an id may be from `created_at`: another host's clock made it, or the caller did.
const ID_TIME_SLACK: Duration = Duration::from_secs(86_400);

/// The way to the candidates of a list. Each has a statement of its own, so that its index is used whatever else the
/// filter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// No index of its own: the newest tasks.
    Newest,
    Children,
    Scheduled,
    OfSaga,
    Labelled,
    /// Those with a dispatch row.
    Pending,
    Running,
    /// Failed, expired or cancelled.
    Problem,
}

impl Way {
    pub(crate) fn of(filter: &TaskFilter) -> Self {
        if filter.parent_id.is_some() {
            return Self::Children;
        }
        if filter.schedule_id.is_some() {
            return Self::Scheduled;
        }
        if filter.saga_id.is_some() {
            return Self::OfSaga;
        }
        match filter.status {
            Some(TaskStatus::InProgress) => Self::Running,
            Some(TaskStatus::Failed | TaskStatus::Expired | TaskStatus::Cancelled) => Self::Problem,
            _ if !filter.labels.is_empty() => Self::Labelled,
            Some(TaskStatus::Pending) => Self::Pending,
            Some(TaskStatus::Completed) | None => Self::Newest,
        }
    }
}

/// The ids a page may have: below `upper`, from `lower` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdRange {
    pub(crate) upper: Uuid,
    pub(crate) lower: Uuid,
}

impl IdRange {
    pub(crate) fn of(filter: &TaskFilter, before: Option<TaskId>) -> Self {
        let newest = filter
            .created_before
            .map_or(Uuid::max(), |time| first_id_at(time + ID_TIME_SLACK));
        Self {
            upper: before.map_or(newest, |before| before.0.min(newest)),
            lower: filter
                .created_after
                .map_or(Uuid::nil(), |time| first_id_at(time - ID_TIME_SLACK)),
        }
    }
}

/// The smallest id whose UUIDv7 time is `at`.
fn first_id_at(at: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
    Uuid::from_u64_pair(milliseconds << 16, 0)
}

/// The page of the first `items` of all that were `found`: of at most one more than asked for.
pub(crate) fn page(items: Vec<Task>, found: usize) -> TaskPage {
    let more = found > items.len();
    TaskPage {
        next: items.last().filter(|_| more).map(|task| task.spec.id),
        items,
        truncated: false,
    }
}

/// The same for attempts.
pub(crate) fn attempt_page(items: Vec<Attempt>, found: usize) -> AttemptPage {
    let more = found > items.len();
    AttemptPage {
        next: items.last().filter(|_| more).map(|attempt| attempt.attempt),
        items,
    }
}

/// Whether candidates may fall out of the page, so that a page without a next one may still not be the end.
pub(crate) fn narrows(filter: &TaskFilter) -> bool {
    let TaskFilter {
        status,
        name,
        target,
        parent_id,
        schedule_id,
        saga_id,
        labels,
        created_after,
        created_before,
    } = filter;
    status.is_some()
        || name.is_some()
        || target.is_some()
        || parent_id.is_some()
        || schedule_id.is_some()
        || saga_id.is_some()
        || !labels.is_empty()
        || created_after.is_some()
        || created_before.is_some()
}
