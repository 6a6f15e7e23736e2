//! The tasks of sagas that are not over.

use orchestratum_core::saga::Phase;
use orchestratum_store::{LiveSagaTask, Saga};

use crate::{Engine, Error};

/// How many of one saga are told of.
const TOLD_MAX: usize = 100;

impl Engine {
    /// The first hundred of each.
    pub async fn live_saga_tasks(&self, sagas: &[Saga]) -> Result<Vec<LiveSagaTask>, Error> {
        let may_have_some =
            |saga: &&Saga| !saga.instance.live.is_empty() || matches!(saga.instance.phase, Phase::Undoing { .. });
        let asked: Vec<_> = sagas.iter().filter(may_have_some).map(|saga| saga.id).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.parts.store.live_saga_tasks(&asked, TOLD_MAX).await?)
    }
}
