//! Whether the parts work that a request needs.

use std::time::Duration;

use crate::Engine;
use crate::error::{Error, chain};

/// A part that takes longer counts as failing: whoever asks has a deadline, too.
const PATIENCE: Duration = Duration::from_secs(2);

/// How old an answer may be. Anyone may ask, as often as they like: the database is asked no more often than that.
pub(crate) const KEPT_FOR: Duration = Duration::from_millis(250);

/// How long someone waits for an answer to a question that another one asked.
pub(crate) const OTHERS_PATIENCE: Duration = Duration::from_secs(5);

/// Which parts work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    pub database: bool,
    pub schema: bool,
    pub broker: bool,
}

impl Engine {
    /// Which parts worked at most a moment ago; why one does not is in the logs.
    pub async fn health(&self) -> Result<Health, Error> {
        let engine = self.clone();
        let question = async move {
            let store = engine.store();
            let (database, schema) = tokio::join!(
                answers("database", store.database_time()),
                answers("schema", store.check_schema())
            );
            let broker = works("broker", engine.broker().health());
            Ok(Health {
                database,
                schema,
                broker,
            })
        };
        self.parts.health.or_ask(question).await
    }
}

async fn answers<T>(part: &str, answer: impl Future<Output = Result<T, orchestratum_store::Error>>) -> bool {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answered) => works(part, answered.map_err(|error| chain(&error))),
        Err(_) => works::<()>(part, Err("no answer in time".to_owned())),
    }
}

fn works<T>(part: &str, state: Result<T, String>) -> bool {
    match state {
        Ok(_) => true,
        Err(reason) => {
            tracing::warn!(part, reason, "not ready");
            false
        }
    }
}
