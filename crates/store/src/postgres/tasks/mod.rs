//! Tasks. One file a use case.

mod apply;
mod begun;
mod children;
mod claim;
mod create;
mod create_guarded;
mod delete;
mod gates;
mod insert_asking;
mod key_wait;
mod list;
mod members;
mod read;
mod row;
mod unique;

pub use self::apply::COMPLETE;
pub(super) use self::apply::{Apply, column};
pub use self::claim::CLAIM_AND_FILL_UP;
pub(super) use self::claim::{CLAIM_WITHIN_BYTES, CLAIM_WITHIN_BYTES_RATED, ClaimedRow, claimed};
pub(super) use self::create::insert_tasks;
pub(super) use self::gates::{release, settle};
pub(super) use self::insert_asking::{insert_asking, insert_issued, met_by};
pub(super) use self::unique::meet;

use std::collections::BTreeMap;

use async_trait::async_trait;
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, Timestamp};

use super::PostgresStore;
use crate::{
    AttemptPage, Audit, Change, ChangeOutcome, Children, ClaimRequest, ClaimedTask, CreateOutcome, CreateRequest,
    DeleteOutcome, Dispatch, Error, KeyWait, Task, TaskFilter, TaskPage, TaskStore,
};

#[async_trait]
impl TaskStore for PostgresStore {
    async fn create(&self, requests: &[CreateRequest], now: Timestamp) -> Result<Vec<CreateOutcome>, Error> {
        create::create(&self.database, requests, now).await
    }

    async fn claim(&self, request: &ClaimRequest, now: Timestamp) -> Result<Vec<ClaimedTask>, Error> {
        claim::claim(&self.database, request, now).await
    }

    async fn apply(&self, changes: &[Change], now: Timestamp) -> Result<Vec<ChangeOutcome>, Error> {
        apply::apply(&self.database, changes, now).await
    }

    async fn delete(&self, task: TaskId, audit: &Audit, now: Timestamp) -> Result<DeleteOutcome, Error> {
        delete::delete(&self.database, task, audit, now).await
    }

    async fn task(&self, task: TaskId) -> Result<Option<Task>, Error> {
        read::task(&self.database, task).await
    }

    async fn tasks(&self, ids: &[TaskId]) -> Result<Vec<Task>, Error> {
        read::tasks(&self.database, ids).await
    }

    async fn statuses(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, TaskStatus)>, Error> {
        read::statuses(&self.database, ids).await
    }

    async fn list(&self, filter: &TaskFilter, before: Option<TaskId>, limit: usize) -> Result<TaskPage, Error> {
        list::list(&self.database, filter, before, limit).await
    }

    async fn children(&self, parents: &[TaskId], limit: usize, bytes: usize) -> Result<Children, Error> {
        children::children(&self.database, parents, limit, bytes).await
    }

    async fn attempts(&self, task: TaskId, after: u32) -> Result<AttemptPage, Error> {
        read::attempts(&self.database, task, after).await
    }

    async fn dispatch(&self, task: TaskId) -> Result<Option<Dispatch>, Error> {
        read::dispatch(&self.database, task).await
    }

    async fn key_wait(&self, task: TaskId) -> Result<Option<KeyWait>, Error> {
        key_wait::key_wait(&self.database, task).await
    }

    async fn counts(&self, most: usize) -> Result<BTreeMap<TaskStatus, u64>, Error> {
        read::counts(&self.database, most).await
    }
}
