//! New tasks of which some run already, with the worker that ended what they follow: as if it had claimed them.

use std::collections::{BTreeSet, HashMap};

use orchestratum_core::{TaskId, Timestamp, WorkerId};
use uuid::Uuid;

use super::super::rows::{Time, time};
use super::apply::column;
use crate::NewTask;

/// Which of the new tasks run already, and where.
pub(super) struct Begun<'a> {
    pub(super) statuses: Vec<i16>,
    pub(super) attempts: Vec<i32>,
    pub(super) versions: Vec<i32>,
    pub(super) workers: Vec<Option<Uuid>>,
    pub(super) starts: Vec<Option<Time>>,
    /// Each worker of them once, and each target.
    pub(super) claimants: Vec<Uuid>,
    pub(super) targets: Vec<&'a str>,
}

impl<'a> Begun<'a> {
    pub(super) fn of(tasks: &[&'a NewTask], taken: &HashMap<TaskId, WorkerId>, now: Timestamp) -> Self {
        let worker = |task: &&NewTask| taken.get(&task.spec.id).map(|worker| worker.0);
        let begins = |task: &&NewTask| worker(task).is_some();
        let claimants: BTreeSet<Uuid> = tasks.iter().filter_map(worker).collect();
        let targets: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| begins(task))
            .map(|task| task.spec.target.as_str())
            .collect();
        Self {
            statuses: column(tasks, |task| i16::from(begins(task))),
            attempts: column(tasks, |task| i32::from(begins(task))),
            versions: column(tasks, |task| 1 + i32::from(begins(task))),
            workers: column(tasks, worker),
            starts: column(tasks, |task| begins(task).then(|| time(now))),
            claimants: claimants.into_iter().collect(),
            targets: targets.into_iter().collect(),
        }
    }
}
