//! Storing what running attempts write, and how far they say they are.

use orchestratum_core::TaskId;
use orchestratum_store::LogAppend;

use crate::{Engine, Error};

impl Engine {
    /// Stores chunks and progress of attempts that still run, and answers which those are: see
    /// [`LogStore::append_logs`](orchestratum_store::LogStore::append_logs).
    pub async fn append_logs(&self, appends: &[LogAppend]) -> Result<Vec<(TaskId, u32)>, Error> {
        Ok(self.parts.store.append_logs(appends).await?)
    }
}
