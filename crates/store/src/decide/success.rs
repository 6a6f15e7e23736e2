//! The short way for what happens most: a batch of nothing but successes.
//!
//! Its guard and its values are those of `transition` for a reported success; the conformance suite and the differential
//! test hold the two together. What the guard does not take goes the long way, where it is refused with its reason.

use std::collections::{HashMap, HashSet};

use orchestratum_core::task::{AttemptOutcome, Ending, TaskEvent, TaskLife, TaskState, TaskStatus};
use orchestratum_core::{GroupId, JsonText, SagaId, Target, TaskId, TaskName, Timestamp};

use crate::{Change, ChangeOutcome, Changed, Followed};

/// A report that leaves nothing but an output, and what is known of its process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Success<'a> {
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    pub(crate) output: Option<&'a JsonText>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) peak_memory_bytes: Option<u64>,
}

/// The row of a task after its success, beside the columns that every success sets alike.
#[derive(Debug)]
pub(crate) struct CompletedRow {
    pub(crate) task: TaskId,
    pub(crate) name: TaskName,
    pub(crate) target: Target,
    pub(crate) attempt: u32,
    pub(crate) run: u32,
    pub(crate) version: u32,
    pub(crate) retries_left: u16,
    pub(crate) losses_left: u16,
    pub(crate) started_at: Timestamp,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) group: Option<GroupId>,
    pub(crate) saga: Option<SagaId>,
}

/// The successes, if every change is one and each is of another task.
pub(crate) fn successes(changes: &[Change]) -> Option<Vec<Success<'_>>> {
    let mut seen = HashSet::with_capacity(changes.len());
    changes
        .iter()
        .map(|change| success(change).filter(|success| seen.insert(success.task)))
        .collect()
}

fn success(change: &Change) -> Option<Success<'_>> {
    let TaskEvent::Reported(report) = &change.event else {
        return None;
    };
    let plain = report.ending == Ending::Success
        && change.evidence.logs.is_empty()
        && change.evidence.progress.is_none()
        && change.evidence.follow_ups.is_empty()
        && change.patch.is_none()
        && change.expected_version.is_none()
        && change.audit.is_none();
    plain.then_some(Success {
        task: change.task,
        attempt: report.attempt,
        output: change.evidence.output.as_ref(),
        exit_code: change.evidence.exit_code,
        peak_memory_bytes: change.evidence.peak_memory_bytes,
    })
}

impl CompletedRow {
    fn changed(self, now: Timestamp) -> Changed {
        Changed {
            task: self.task,
            name: self.name,
            target: self.target,
            before: TaskStatus::InProgress,
            life: TaskLife {
                state: TaskState::Completed { finished_at: now },
                attempt: self.attempt,
                run: self.run,
                retries_left: self.retries_left,
                losses_left: self.losses_left,
                scheduled_at: self.scheduled_at,
                expires_at: self.expires_at,
                version: self.version,
            },
            started_at: Some(self.started_at),
            // Such a task goes the long way.
            followed: Followed::default(),
            admitted: Vec::new(),
            group: self.group,
            saga: self.saga,
        }
    }
}

/// The outcomes of a batch that was tried the short way. What is left over goes the long way.
#[derive(Debug)]
pub(crate) struct ShortWay {
    outcomes: Vec<Option<ChangeOutcome>>,
}

impl ShortWay {
    pub(crate) fn new(changes: &[Change], completed: Vec<CompletedRow>, now: Timestamp) -> Self {
        let completed = completed.into_iter().map(|row| (row.task, row.changed(now)));
        Self::of(changes, completed.collect())
    }

    pub(crate) fn of(changes: &[Change], mut done: HashMap<TaskId, Changed>) -> Self {
        let outcomes = changes
            .iter()
            .map(|change| done.remove(&change.task).map(ChangeOutcome::Done))
            .collect();
        Self { outcomes }
    }

    /// The changes whose guard did not hold.
    pub(crate) fn left(&self, changes: &[Change]) -> Vec<Change> {
        let with_outcomes = changes.iter().zip(&self.outcomes);
        with_outcomes
            .filter(|(_, outcome)| outcome.is_none())
            .map(|(change, _)| change.clone())
            .collect()
    }

    /// All outcomes in the order of the changes; `rest` are those of what was left.
    pub(crate) fn with(self, rest: Vec<ChangeOutcome>) -> Vec<ChangeOutcome> {
        let mut rest = rest.into_iter();
        self.outcomes
            .into_iter()
            .map(|outcome| {
                outcome
                    .or_else(|| rest.next())
                    .expect("each change was answered by one of the two ways")
            })
            .collect()
    }
}

const _: () = assert!(
    AttemptOutcome::Success.code() == 0 && TaskStatus::InProgress.code() == 1 && TaskStatus::Completed.code() == 2,
    "the numbers in the statements of both databases"
);
