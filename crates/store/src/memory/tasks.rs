//! The tasks of sagas: made, changed by the one function that changes tasks, and their ends told to their sagas.

use std::collections::HashMap;

use orchestratum_core::task::{AttemptOutcome, TaskEvent, TaskStatus, transition};
use orchestratum_core::{SagaId, TaskId, Timestamp, WorkerId};

use super::rows::{Afterwards, Rows};
use super::{RowsMutant, TaskRow};
use crate::decide::{self, Stored};
use crate::{Change, ChangeOutcome, NewTask};

impl Rows {
    /// One transaction: the changes, their attempts, and what the sagas of those that have ended are told.
    pub fn change_tasks(&mut self, changes: &[Change], now: Timestamp) -> Vec<ChangeOutcome> {
        let touched = changes.iter().filter_map(|change| {
            let row = self.tasks.get(&change.task)?;
            Some((change.task, row.stored.clone()))
        });
        let touched: HashMap<TaskId, Stored> = touched.collect();
        let recorded: HashMap<(TaskId, u32), AttemptOutcome> = decide::doubtful_reports(changes, &touched)
            .into_iter()
            .filter_map(|(task, attempt)| {
                let attempts = &self.tasks.get(&task)?.attempts;
                let ended = attempts.iter().find(|ended| ended.attempt == attempt)?;
                Some(((task, attempt), ended.outcome))
            })
            .collect();
        let decision = decide::apply(changes, touched, recorded, &self.limits, now);
        for write in &decision.tasks {
            if let Some(row) = self.tasks.get_mut(&write.after.id) {
                row.stored = write.after.clone();
            }
            if write.after.life.status() == TaskStatus::Pending {
                self.dispatches.insert(write.after.id);
            } else if write.was_pending {
                self.dispatches.remove(&write.after.id);
            }
        }
        for write in &decision.attempts {
            if let Some(row) = self.tasks.get_mut(&write.task) {
                row.attempts.push(write.ended.clone());
            }
        }
        let ends = self.task_ends(&decision.saga_ends);
        if self.planted == Some(RowsMutant::EndIsWrittenAfterwards) {
            self.afterwards.push(Afterwards::Waiting(ends));
        } else {
            self.insert_waiting(ends);
        }
        decision.answers(Vec::new())
    }

    /// One change of one task.
    pub fn change_task(&mut self, task: TaskId, event: TaskEvent, now: Timestamp) -> ChangeOutcome {
        let mut outcomes = self.change_tasks(&[Change::new(task, event)], now);
        outcomes.pop().unwrap_or(ChangeOutcome::NotFound)
    }

    /// Those that are `taken` begin with their rows, as if they had been claimed; the others wait for that.
    pub(super) fn insert_tasks(&mut self, tasks: Vec<NewTask>, taken: &HashMap<TaskId, WorkerId>, now: Timestamp) {
        for NewTask { spec, life, .. } in tasks {
            if let Some(place) = spec.saga {
                self.tasks_of.insert((place.saga, place.number, spec.id));
            }
            let worker = taken.get(&spec.id).copied();
            let begun = worker.map(|worker| {
                let claimed = transition(&life, &spec.policy, &TaskEvent::Claimed { worker }, now);
                claimed.expect("what may not be claimed is not taken").next
            });
            if begun.is_none() {
                self.dispatches.insert(spec.id);
            }
            let stored = Stored {
                id: spec.id,
                name: spec.name.clone(),
                target: spec.target.clone(),
                priority: spec.priority,
                ttl: spec.ttl,
                policy: spec.policy,
                life: begun.unwrap_or(life),
                worker,
                started_at: worker.map(|_| now),
                source: None,
                conditions: None,
                waits: None,
                group: None,
                saga: spec.saga,
            };
            let row = TaskRow {
                spec,
                stored,
                attempts: Vec::new(),
                is_gone_on_with: worker.is_some(),
            };
            self.tasks.insert(row.spec.id, row);
        }
    }

    /// The ids of the tasks with these numbers that are not over.
    pub(super) fn live_tasks(&self, numbers: &[(SagaId, u32)]) -> Vec<TaskId> {
        let of_number = numbers.iter().flat_map(|(saga, number)| {
            let (nil, max) = (TaskId(uuid::Uuid::nil()), TaskId(uuid::Uuid::max()));
            self.tasks_of.range((*saga, *number, nil)..=(*saga, *number, max))
        });
        let live = of_number.filter(|(_, _, task)| {
            let status = self.tasks.get(task).map(|row| row.life().status());
            matches!(status, Some(TaskStatus::Pending | TaskStatus::InProgress))
        });
        live.map(|(_, _, task)| *task).collect()
    }
}
