//! The ends of tasks of sagas, as what their sagas look at.

use std::collections::HashSet;

use orchestratum_core::saga::{Outcome, Purpose};
use orchestratum_core::task::{AttemptOutcome, ErrorKind, SagaPlace, TaskError, TaskState};
use orchestratum_core::{JsonText, TaskId};

use super::Stored;

/// What a task of a saga is for, of the column that tells it.
pub(crate) const fn purpose(undoes: bool) -> Purpose {
    if undoes {
        Purpose::Compensation
    } else {
        Purpose::Forward
    }
}

/// The end of a task of a saga.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SagaTaskEnd {
    pub(crate) place: SagaPlace,
    pub(crate) outcome: Outcome,
    /// The task whose attempts tell whether it [may have run](Outcome::Unsuccessful); `None` where that is known.
    pub(crate) doubted: Option<TaskId>,
}

impl SagaTaskEnd {
    pub(crate) fn success(place: SagaPlace, output: Option<&JsonText>) -> Self {
        let output = output.cloned().unwrap_or_else(JsonText::null);
        Self {
            place,
            outcome: Outcome::Succeeded { output },
            doubted: None,
        }
    }

    /// Of a task that was never made.
    pub(crate) fn unmade(place: SagaPlace, reason: String) -> Self {
        Self {
            place,
            outcome: Outcome::Unsuccessful {
                error: TaskError::new(ErrorKind::Failed, reason),
                may_have_run: false,
            },
            doubted: None,
        }
    }

    /// `output` is that of the report that ended it. `None` of a task that is not over, and of one of no saga.
    pub(super) fn of(task: &Stored, output: Option<&JsonText>) -> Option<Self> {
        let place = task.saga?;
        match &task.life.state {
            TaskState::Pending { .. } | TaskState::InProgress { .. } => None,
            TaskState::Completed { .. } => Some(Self::success(place, output)),
            TaskState::Failed { error, .. } | TaskState::Expired { error, .. } | TaskState::Cancelled { error, .. } => {
                Some(Self {
                    place,
                    outcome: Outcome::Unsuccessful {
                        error: error.clone(),
                        may_have_run: false,
                    },
                    doubted: (task.life.attempt > 0).then_some(task.id),
                })
            }
        }
    }
}

/// The numbers of the outcomes of attempts that leave doubt.
pub(crate) fn doubtful_outcomes() -> Vec<i16> {
    let doubtful = AttemptOutcome::ALL.iter().filter(|outcome| outcome.leaves_doubt());
    doubtful.map(|outcome| outcome.code()).collect()
}

/// The tasks among whose attempts such an outcome is to be looked for.
pub(crate) fn doubted(ends: &[SagaTaskEnd]) -> Vec<TaskId> {
    ends.iter().filter_map(|end| end.doubted).collect()
}

/// The same ends, where these tasks have attempts that leave doubt. Those of one call reach a saga in the order of its numbers,
/// whatever the order in which a database tells of them.
pub(crate) fn without_doubt(ends: &[SagaTaskEnd], in_doubt: &HashSet<TaskId>) -> Vec<SagaTaskEnd> {
    let mut ends = ends.to_vec();
    ends.sort_by_key(|end| (end.place.saga, end.place.number));
    for end in &mut ends {
        if let Outcome::Unsuccessful { may_have_run, .. } = &mut end.outcome
            && end.doubted.is_some_and(|task| in_doubt.contains(&task))
        {
            *may_have_run = true;
        }
    }
    ends
}
