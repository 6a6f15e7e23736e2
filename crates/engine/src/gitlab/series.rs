//! One saga after another for the same key: the next begins when the one before is over.

use orchestratum_core::saga::DefinitionName;
use orchestratum_store::Saga;
use sha2::{Digest, Sha256};

use crate::{Engine, Error};

/// Longer keys are told by their hash: a correlation id has 200 characters at most.
const KEY_MAX_BYTES: usize = 180;

/// All sagas of a definition with one key: their correlation ids are the key, `key#2`, `key#3` and so on.
#[derive(Debug, Clone)]
pub(super) struct Series {
    definition: DefinitionName,
    key: String,
}

impl Series {
    /// No part of the key has a `#`.
    pub(super) fn new(definition: DefinitionName, key: String) -> Self {
        let key = if key.len() <= KEY_MAX_BYTES {
            key
        } else {
            let hash = Sha256::digest(&key);
            hash.iter()
                .fold(String::new(), |told, byte| format!("{told}{byte:02x}"))
        };
        Self { definition, key }
    }

    pub(super) fn first(&self) -> String {
        self.key.clone()
    }

    /// What comes after one of them.
    pub(super) fn after(&self, saga: &Saga) -> String {
        let number = saga.instance.correlation_id.strip_prefix(&self.key);
        let number = number.and_then(|number| number.strip_prefix('#')?.parse::<u64>().ok());
        format!("{}#{}", self.key, number.unwrap_or(1) + 1)
    }
}

impl Engine {
    pub(super) async fn last_of(&self, series: &Series) -> Result<Option<Saga>, Error> {
        Ok(self.parts.store.last_of_series(&series.definition, &series.key).await?)
    }

    /// Whether the last of them is not over.
    pub(super) async fn is_live(&self, series: &Series) -> Result<bool, Error> {
        let last = self.last_of(series).await?;
        Ok(last.is_some_and(|saga| !saga.instance.status().is_over()))
    }
}
