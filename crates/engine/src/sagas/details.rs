//! Sagas with what belongs to them and stands elsewhere: their live tasks, and what they ask for.

use std::collections::HashMap;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{AwaitInput, Phase};
use orchestratum_store::{LiveSagaTask, Saga};

use crate::{Engine, Error};

/// How many live tasks of one saga are told of.
const TASKS_TOLD_MAX: usize = 100;

/// A saga as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaDetails {
    pub saga: Saga,
    /// What it asks somebody for.
    pub awaiting: Option<AwaitInput>,
    /// Its tasks that are not over; of very many, the first hundred.
    pub tasks: Vec<LiveSagaTask>,
}

impl Engine {
    /// Their tasks are read for all of them together.
    pub async fn saga_details(&self, sagas: Vec<Saga>) -> Result<Vec<SagaDetails>, Error> {
        let mut tasks: HashMap<SagaId, Vec<LiveSagaTask>> = HashMap::new();
        for task in self.live_saga_tasks(&sagas).await? {
            tasks.entry(task.saga).or_default().push(task);
        }
        let mut details = Vec::with_capacity(sagas.len());
        for saga in sagas {
            let awaiting = self.awaiting(&saga).await?;
            let tasks = tasks.remove(&saga.id).unwrap_or_default();
            details.push(SagaDetails { saga, awaiting, tasks });
        }
        Ok(details)
    }

    async fn live_saga_tasks(&self, sagas: &[Saga]) -> Result<Vec<LiveSagaTask>, Error> {
        let may_have_some =
            |saga: &&Saga| !saga.instance.live.is_empty() || matches!(saga.instance.phase, Phase::Undoing { .. });
        let asked: Vec<_> = sagas.iter().filter(may_have_some).map(|saga| saga.id).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.parts.store.live_saga_tasks(&asked, TASKS_TOLD_MAX).await?)
    }
}
