//! Letting a saga go on by another version of its definition.

use std::collections::BTreeMap;

use orchestratum_core::saga::StateName;
use orchestratum_engine::given::states_of_versions;
use serde::{Deserialize, Serialize};

use super::given::by_rule;
use super::{Saga, SagaAt, Sagas};
use crate::Error;

/// By which version a saga is to go on.
#[derive(Debug, Clone, Default)]
pub struct Migration {
    version: Option<u32>,
    states: BTreeMap<String, String>,
    dry_run: bool,
}

impl Migration {
    /// The newest version of its definition.
    pub fn to_newest() -> Self {
        Self::default()
    }

    pub fn to(version: u32) -> Self {
        Self {
            version: Some(version),
            ..Self::default()
        }
    }

    /// A state that is called otherwise in that version, or whose place another takes.
    #[must_use]
    pub fn state(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.states.insert(old.into(), new.into());
        self
    }

    /// Only tell what it would come to.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    fn checked(self) -> Result<CheckedMigration, Error> {
        Ok(CheckedMigration {
            version: self.version,
            states: by_rule(states_of_versions(self.states))?,
            dry_run: self.dry_run,
        })
    }
}

/// What a migration came to, or would come to.
#[derive(Debug, Clone, Deserialize)]
pub struct Migrated {
    pub saga: Saga,
    /// What begins anew, or means nothing in that version, in words for whoever decides.
    pub losses: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CheckedMigration {
    pub(crate) version: Option<u32>,
    pub(crate) states: BTreeMap<StateName, StateName>,
    pub(crate) dry_run: bool,
}

impl Sagas {
    /// Lets a saga go on by another version of its definition. Its state has the timers of that version from now on; what it starts
    /// when it is entered is not started again; its tasks go on. One that runs by that version already stays as it is.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaInput`] where there is no such version, or it has no state of that name;
    /// [`Error::SagaRefused`] where the saga is over, [`Error::SagaChanged`].
    pub async fn migrate(&self, saga: impl Into<SagaAt> + Send, migration: Migration) -> Result<Migrated, Error> {
        self.host.migrate_saga(saga.into(), migration.checked()?).await
    }
}
