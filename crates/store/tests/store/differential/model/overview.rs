//! What the loops and the operator see of the model.

use std::collections::{BTreeMap, BTreeSet};

use orchestratum_core::task::{BuiltIn, TaskSpec, TaskStatus};
use orchestratum_core::{Target, TaskId, TaskName, Timestamp, WorkerId};
use orchestratum_store::{Pulse, Queue, WorkerState};

use super::super::answer::{Overview, sorted};
use super::super::gates::Wait;
use super::super::operation::{RUNNING_GRACE, UNOFFERED_FOR};
use super::{Model, Row, WorkerRow};

impl Model {
    pub(super) fn overview(&self) -> Overview {
        let waiting = || {
            self.tasks
                .iter()
                .filter_map(|(id, row)| Some((*id, row, row.dispatch()?)))
        };
        let overdue = |deadline: Timestamp| {
            self.running()
                .filter(move |(task, _, _)| task.life.expires_at < deadline)
                .map(|(task, _, _)| task.spec.id)
        };
        let is_marked_live = |worker: &WorkerId| {
            self.workers
                .get(worker)
                .is_some_and(|row| row.state == WorkerState::Live)
        };
        let orphans: Vec<_> = self
            .running()
            .filter(|(_, worker, _)| !is_marked_live(worker))
            .map(|(task, worker, _)| (task.spec.id, worker, task.life.attempt))
            .collect();
        let live = self.workers.values().filter(|row| row.state == WorkerState::Live);
        let served_targets: BTreeSet<Target> = live.flat_map(|row| row.registration.targets.iter().cloned()).collect();
        let ready_targets: BTreeSet<Target> = waiting()
            .filter(|(_, row, _)| row.wait == Wait::Ready)
            .map(|(_, _, dispatch)| dispatch.target)
            .filter(|target| served_targets.contains(target))
            .collect();
        let mut counts: BTreeMap<TaskStatus, u64> = TaskStatus::ALL.iter().map(|status| (*status, 0)).collect();
        for row in self.tasks.values() {
            *counts.entry(row.task.life.status()).or_default() += 1;
        }
        Overview {
            pulse: Pulse {
                next_due_at: waiting()
                    .filter(|(_, row, _)| row.wait.is_delayed())
                    .map(|(_, _, dispatch)| dispatch.due_at)
                    .chain(self.next_start())
                    .min(),
                next_deadline: waiting().map(|(_, _, dispatch)| dispatch.expires_at).min(),
                next_schedule_at: None,
                overdue_running: overdue(self.now - RUNNING_GRACE).next().is_some(),
                silent_workers: self
                    .workers
                    .values()
                    .any(|row| row.state == WorkerState::Live && row.lease_expires_at <= self.now),
                orphans: !orphans.is_empty(),
                rates: 0,
                ended_leases: false,
                served_targets,
                ready_targets,
                groups: self.has_work_for_groups(),
                next_saga_timer_at: None,
                unlooked_sagas: false,
            },
            counts,
            queues: self.queue_list(),
            expired_pending: waiting()
                .filter(|(_, _, dispatch)| dispatch.expires_at <= self.now)
                .map(|(id, _, _)| id)
                .collect(),
            overdue_running: sorted(overdue(self.now)),
            orphans: sorted(orphans),
            unoffered: self.unoffered(),
        }
    }

    fn queue_list(&self) -> Vec<Queue> {
        let served = self
            .workers
            .values()
            .filter(|row| row.state == WorkerState::Live)
            .flat_map(|row| row.registration.targets.iter().cloned());
        let used = self
            .tasks
            .values()
            .filter(|row| !row.task.life.status().is_terminal())
            .map(|row| row.task.spec.target.clone());
        let known: BTreeSet<Target> = served.chain(used).chain(self.paused.iter().cloned()).collect();
        known
            .into_iter()
            .map(|target| {
                let here = || self.tasks.values().filter(|row| row.task.spec.target == target);
                let ready = || here().filter(|row| row.ready().is_some());
                Queue {
                    depth: here().filter(|row| row.due_at().is_some()).count() as u64,
                    ready: ready().count() as u64,
                    running: here()
                        .filter(|row| row.task.life.status() == TaskStatus::InProgress)
                        .count() as u64,
                    paused: self.paused.contains(&target),
                    rate: None,
                    oldest_due_at: ready().filter_map(Row::due_at).min(),
                    target,
                }
            })
            .collect()
    }

    fn unoffered(&self) -> Vec<TaskId> {
        let since = self.now - UNOFFERED_FOR;
        let serves = |row: &WorkerRow, target: &Target| row.registration.targets.contains(target);
        let served = |target: &Target, name: &TaskName| {
            let mut serving = self.workers.values().filter(|row| {
                row.state == WorkerState::Live
                    && row.lease_expires_at > self.now
                    && row.registered_at <= since
                    && serves(row, target)
            });
            serving.any(|row| {
                let mut names = row.registration.names.iter();
                BuiltIn::of(name).is_none() || names.any(|offered| BuiltIn::of(offered).is_some())
            })
        };
        let offered = |target: &Target, name: &TaskName| {
            self.workers
                .values()
                .any(|row| row.lease_expires_at > since && serves(row, target) && row.registration.names.contains(name))
        };
        self.tasks
            .iter()
            .filter(|(_, row)| {
                let TaskSpec { target, name, .. } = &row.task.spec;
                row.ready().is_some_and(|(_, due_at)| due_at <= since)
                    && row.task.life.expires_at > self.now
                    && served(target, name)
                    && !offered(target, name)
            })
            .map(|(id, _)| *id)
            .collect()
    }
}
