//! The tasks of sagas: which are made, which are cancelled, and what whoever looked has to do for them.

use std::collections::{HashMap, HashSet};

use orchestratum_core::task::{TaskEvent, TaskState};
use orchestratum_core::{SagaId, TaskId, Timestamp, WorkerId};

use super::super::saga_tasks::SagaTaskEnd;
use super::fold::Folded;
use crate::{Change, ChangeOutcome, Consequences, NewTask, Ready};

/// Which tasks are cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// Those that were there before.
    Earlier,
    /// Those that were made by the same look.
    Now,
}

/// By their numbers. A child saga has no task of its number.
pub(crate) fn cancelled_tasks(folded: &[Folded], which: Cancelled) -> Vec<(SagaId, u32)> {
    let cancelled = folded.iter().flat_map(|saga| {
        let issued: HashSet<u32> = saga
            .tasks
            .iter()
            .filter_map(|task| task.spec.saga)
            .map(|place| place.number)
            .collect();
        let chosen = move |number: &&u32| issued.contains(number) == (which == Cancelled::Now);
        saga.cancels.iter().filter(chosen).map(|number| (saga.head.id, *number))
    });
    cancelled.collect()
}

/// By their numbers, tasks and child sagas alike.
pub(crate) fn cancelled(folded: &[Folded]) -> Vec<(SagaId, u32)> {
    let cancelled = folded
        .iter()
        .flat_map(|saga| saga.cancels.iter().map(|number| (saga.head.id, *number)));
    cancelled.collect()
}

/// The cancel of a task of a saga.
pub(crate) fn cancel(task: TaskId) -> Change {
    let reason = Some("its saga has no need of it any more".to_owned());
    Change::new(task, TaskEvent::CancelRequested { reason })
}

/// The tasks that are made, in the order of their ids, and the ends of those that are not. `met` are those that are there already of
/// what is unique.
pub(crate) fn issued<'a>(folded: &'a [Folded], met: &HashMap<TaskId, TaskId>) -> (Vec<&'a NewTask>, Vec<SagaTaskEnd>) {
    let mut unmade: Vec<SagaTaskEnd> = folded.iter().flat_map(|saga| saga.unmade.iter().cloned()).collect();
    let (there, mut new): (Vec<&NewTask>, Vec<&NewTask>) = folded
        .iter()
        .flat_map(|saga| &saga.tasks)
        .partition(|task| met.contains_key(&task.spec.id));
    unmade.extend(there.into_iter().filter_map(|task| {
        let other = met.get(&task.spec.id)?;
        Some(SagaTaskEnd::unmade(task.spec.saga?, format!("task {other} is like it")))
    }));
    new.sort_unstable_by_key(|task| task.spec.id);
    (new, unmade)
}

impl Consequences {
    /// Tasks were made; `taken` run already, and `admitted` are those of which others wait for something, and got it.
    pub(crate) fn issued(
        &mut self,
        tasks: &[&NewTask],
        taken: &HashMap<TaskId, WorkerId>,
        admitted: Vec<Ready>,
        now: Timestamp,
    ) {
        self.issued += tasks.len();
        self.ready.extend(admitted);
        for task in tasks.iter().filter(|task| !taken.contains_key(&task.spec.id)) {
            let TaskState::Pending { due_at } = task.life.state else {
                continue;
            };
            if due_at > now {
                let next = self.next_due.unwrap_or(due_at);
                self.next_due = Some(next.min(due_at));
            } else if !task
                .spec
                .conditions
                .as_ref()
                .is_some_and(|conditions| conditions.gates())
            {
                self.ready.push(Ready {
                    task: task.spec.id,
                    target: task.spec.target.clone(),
                    name: task.spec.name.clone(),
                });
            }
        }
    }

    /// Tasks were cancelled, or are to be.
    pub(crate) fn cancelled(&mut self, outcomes: Vec<ChangeOutcome>) {
        for outcome in outcomes {
            // One that is over meanwhile has told its saga so.
            let ChangeOutcome::Done(changed) = outcome else {
                continue;
            };
            if changed.life.status().is_terminal() {
                self.unlooked.extend(changed.saga);
            }
            self.cancelled.push(changed);
        }
    }
}
