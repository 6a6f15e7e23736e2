//! Bounds on time, each checked at the moment it ends, and only in seeds that leave the database alone.

use orchestratum_core::WorkerId;
use orchestratum_core::task::TaskStatus;

use super::World;
use crate::invariant::Invariant;
use crate::limits::{Micros, SECOND, TOP_UP};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Watch {
    /// I12: by now the task has ended, or its deadline was moved.
    Expired { task: usize, expires_at: Micros },
    /// I14: by now nothing is in the hands of this dead worker.
    Rescued { worker: WorkerId },
    /// I16: by now somebody has taken it, unless nobody could.
    Claimed { task: usize, version: u32 },
}

impl World {
    pub(super) fn watch(&mut self, watch: Watch) {
        match watch {
            Watch::Expired { task, expires_at } => {
                let row = &self.database.tasks[task];
                if row.expires_at() == expires_at && !row.life.status().is_terminal() {
                    let status = row.life.status();
                    self.database.violate(Invariant::DeadlineHolds, || {
                        format!("task {task} is still {status} well after its deadline")
                    });
                }
            }
            Watch::Rescued { worker } => {
                let held = self.database.held_by(worker);
                if !held.is_empty() {
                    self.database.violate(Invariant::DeadWorkerIsNoticed, || {
                        format!("worker {worker} is dead for longer than its lease and still holds {held:?}")
                    });
                }
            }
            Watch::Claimed { task, version } => self.watch_claimed(task, version),
        }
    }

    fn watch_claimed(&mut self, task: usize, version: u32) {
        let row = &self.database.tasks[task];
        let since = self.now - TOP_UP - 2 * SECOND;
        let waits = row.life.version == version
            && row.life.status() == TaskStatus::Pending
            && row.expires_at() > self.now
            && !self.database.paused
            && self.open_since <= since
            && self.database.dispatches[task].is_some_and(|row| row.due_at <= since);
        let idle = self.workers.iter().find(|worker| worker.idle_since(since, row.rare));
        if let (true, Some(worker)) = (waits, idle) {
            let slot = worker.slot;
            self.database.violate(Invariant::DueWorkIsClaimed, || {
                format!("task {task} is due and worker {slot} is idle, and it was not claimed")
            });
        }
    }
}
