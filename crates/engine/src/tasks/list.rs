//! Listing tasks, newest first.

use orchestratum_core::TaskId;
use orchestratum_store::{TaskFilter, TaskPage};

use crate::{Engine, Error};

impl Engine {
    /// `before` is the `next` of the page before.
    pub async fn list(&self, filter: &TaskFilter, before: Option<TaskId>, limit: usize) -> Result<TaskPage, Error> {
        Ok(self.parts.store.list(filter, before, limit).await?)
    }
}
