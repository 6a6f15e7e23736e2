//! With which of the tasks of looks the workers go on that have offered to.

use std::collections::HashMap;

use orchestratum_core::{Target, TaskId, WorkerId};

use super::fold::Folded;
use crate::NewTask;

/// A task with which a worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) task: TaskId,
    pub(crate) worker: WorkerId,
    /// The place of the look that has brought the offer. A worker makes several, each for the names that it serves there.
    pub(crate) by: usize,
}

/// Which tasks run already, and where.
pub(crate) fn taken(folded: &[Folded]) -> HashMap<TaskId, WorkerId> {
    let taken = folded.iter().filter_map(|saga| saga.taken);
    taken.map(|taken| (taken.task, taken.worker)).collect()
}

/// The targets of the tasks that run already, some of them more than once.
pub(crate) fn targets_of_taken(folded: &[Folded]) -> impl Iterator<Item = &Target> {
    folded.iter().filter_map(|saga| Some(&begins(saga)?.spec.target))
}

fn begins(saga: &Folded) -> Option<&NewTask> {
    let taken = saga.taken?;
    saga.tasks.iter().find(|task| task.spec.id == taken.task)
}

/// What a claim asks of its worker and of the target holds for what begins without one; where it does not, that waits its turn.
///
/// A worker may have something where its lease lives; a target is closed while it is paused, and where it has a rate.
pub(crate) fn take_back_what_may_not_begin(
    folded: &mut [Folded],
    is_live: impl Fn(WorkerId) -> bool,
    is_closed: impl Fn(&Target) -> bool,
) {
    for saga in folded {
        let waits = begins(saga).is_some_and(|task| is_closed(&task.spec.target));
        saga.taken.take_if(|taken| waits || !is_live(taken.worker));
    }
}
