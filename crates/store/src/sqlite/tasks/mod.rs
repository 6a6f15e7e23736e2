//! Tasks: one file a statement family, this one only says who does what.

mod apply;
mod children;
mod claim;
mod create;
mod delete;
mod gates;
mod insert_asking;
mod key_wait;
mod list;
mod read;
mod unique;

use std::collections::BTreeMap;

use async_trait::async_trait;
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, Timestamp};

pub(super) use apply::{apply_any, insert_audit};
pub(super) use claim::{claimed_task, start, take_dispatches, take_rated};
pub(super) use create::insert_new;
pub(super) use delete::delete_rows;
pub(super) use gates::{release, settle};
pub(super) use insert_asking::{insert_asking, met_by};
pub(super) use unique::meet;

use super::SqliteStore;
use crate::{
    AttemptPage, Audit, Change, ChangeOutcome, Children, ClaimRequest, ClaimedTask, CreateOutcome, CreateRequest,
    DeleteOutcome, Dispatch, Error, KeyWait, Task, TaskFilter, TaskPage, TaskStore,
};

#[async_trait]
impl TaskStore for SqliteStore {
    async fn create(&self, requests: &[CreateRequest], now: Timestamp) -> Result<Vec<CreateOutcome>, Error> {
        create::create(self, requests, now).await
    }

    async fn claim(&self, request: &ClaimRequest, now: Timestamp) -> Result<Vec<ClaimedTask>, Error> {
        claim::claim(self, request, now).await
    }

    async fn apply(&self, changes: &[Change], now: Timestamp) -> Result<Vec<ChangeOutcome>, Error> {
        apply::apply(self, changes, now).await
    }

    async fn delete(&self, task: TaskId, audit: &Audit, now: Timestamp) -> Result<DeleteOutcome, Error> {
        delete::delete(self, task, audit, now).await
    }

    async fn task(&self, task: TaskId) -> Result<Option<Task>, Error> {
        Ok(read::tasks(self, &[task]).await?.pop())
    }

    async fn tasks(&self, ids: &[TaskId]) -> Result<Vec<Task>, Error> {
        read::tasks(self, ids).await
    }

    async fn statuses(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, TaskStatus)>, Error> {
        read::statuses(self, ids).await
    }

    async fn list(&self, filter: &TaskFilter, before: Option<TaskId>, limit: usize) -> Result<TaskPage, Error> {
        list::list(self, filter, before, limit).await
    }

    async fn children(&self, parents: &[TaskId], limit: usize, bytes: usize) -> Result<Children, Error> {
        children::children(self, parents, limit, bytes).await
    }

    async fn attempts(&self, task: TaskId, after: u32) -> Result<AttemptPage, Error> {
        read::attempts(self, task, after).await
    }

    async fn dispatch(&self, task: TaskId) -> Result<Option<Dispatch>, Error> {
        read::dispatch(self, task).await
    }

    async fn key_wait(&self, task: TaskId) -> Result<Option<KeyWait>, Error> {
        key_wait::key_wait(self, task).await
    }

    async fn counts(&self, most: usize) -> Result<BTreeMap<TaskStatus, u64>, Error> {
        read::counts(self, most).await
    }
}
