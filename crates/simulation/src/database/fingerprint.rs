//! A state of the database as one number, for the search that must not visit it twice.

use std::hash::{Hash, Hasher};

use orchestratum_core::task::TaskState;

use super::{Database, TaskRow};

impl TaskRow {
    fn fingerprint(&self, hasher: &mut impl Hasher) {
        let life = &self.life;
        life.status().hash(hasher);
        match &life.state {
            TaskState::Pending { due_at } => due_at.hash(hasher),
            TaskState::InProgress {
                worker,
                started_at,
                cancel_requested,
            } => (worker, started_at, cancel_requested.is_some()).hash(hasher),
            TaskState::Completed { finished_at }
            | TaskState::Failed { finished_at, .. }
            | TaskState::Expired { finished_at, .. }
            | TaskState::Cancelled { finished_at, .. } => finished_at.hash(hasher),
        }
        (
            life.attempt,
            life.run,
            life.retries_left,
            life.losses_left,
            life.expires_at,
        )
            .hash(hasher);
        for ended in &self.attempts {
            (ended.worker, ended.outcome, ended.ended_at).hash(hasher);
        }
    }
}

impl Database {
    pub(crate) fn fingerprint(&self, hasher: &mut impl Hasher) {
        self.now.hash(hasher);
        for row in &self.tasks {
            row.fingerprint(hasher);
        }
        for row in &self.dispatches {
            row.map(|row| (row.due_at, row.expires_at)).hash(hasher);
        }
        for row in &self.workers {
            (row.id, row.lease_expires_at, row.dead).hash(hasher);
        }
    }
}
