//! Letting a saga go on by another version of its definition.

use std::collections::BTreeMap;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Fault, Faults, StateName};
use orchestratum_store::{self as store, MigrateOutcome, Saga};

use super::drive::plain_look;
use crate::{Engine, Error};

/// How often a saga is looked at first, to which something comes all the time.
const LOOKS_MAX: usize = 20;

/// A request to let a saga go on by another version.
#[derive(Debug, Clone)]
pub struct MigrateSaga {
    pub saga: SagaId,
    /// `None`: the newest.
    pub version: Option<u32>,
    /// What states are called in that version, where it is not as before, or which takes their place.
    pub states: BTreeMap<StateName, StateName>,
    /// Only tell what it would come to.
    pub dry_run: bool,
    /// `If-Match`.
    pub expected_version: Option<u64>,
    pub actor: Option<String>,
}

/// A saga after its migration, or as it would stand after it.
#[derive(Debug, Clone, PartialEq)]
pub struct MigratedSaga {
    pub saga: Saga,
    /// What begins anew, or means nothing any more.
    pub losses: Vec<String>,
}

impl Engine {
    /// Lets a saga go on by another version of its definition, after all that has reached it before. One that runs by that version
    /// already stays as it is.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaVersionMismatch`], [`Error::SagaUnmovable`] where there is no such version, with every
    /// state that leads nowhere, or where it is over.
    pub async fn migrate_saga(&self, request: MigrateSaga) -> Result<MigratedSaga, Error> {
        let definition = self.saga(request.saga).await?.definition;
        let version = match request.version {
            Some(version) => version,
            None => self.definition(&definition, None).await?.version,
        };
        let saga = request.saga;
        let migration = store::MigrateSaga {
            saga,
            version,
            states: request.states,
            expected_version: request.expected_version,
            dry_run: request.dry_run,
            actor: request.actor,
        };
        for _ in 0..LOOKS_MAX {
            let now = self.parts.clock.now();
            match self.parts.store.migrate_saga(&migration, now).await? {
                MigrateOutcome::Migrated { mut advanced, losses } => {
                    tracing::info!(saga.id = %saga, saga.definition_version = version, "saga goes on by another version");
                    self.after_looks([&mut *advanced]);
                    let saga = advanced.saga;
                    return Ok(MigratedSaga { saga, losses });
                }
                MigrateOutcome::Unchanged { saga, losses } => return Ok(MigratedSaga { saga: *saga, losses }),
                MigrateOutcome::Refused(faults) => return Err(Error::SagaUnmovable { saga, version, faults }),
                MigrateOutcome::VersionMismatch { current } => {
                    let expected = Vec::from_iter(migration.expected_version);
                    return Err(Error::SagaVersionMismatch {
                        saga,
                        expected,
                        current,
                    });
                }
                MigrateOutcome::NoDefinition => {
                    let message = format!("there is no version {version} of the definition {definition}");
                    let faults = Faults(vec![Fault::new("/version", message)]);
                    return Err(Error::SagaUnmovable { saga, version, faults });
                }
                MigrateOutcome::NotFound => return Err(Error::SagaNotFound(saga)),
                MigrateOutcome::Unlooked => {
                    self.look_in_turn(plain_look(saga)).await?;
                }
            }
        }
        Err(Error::Overloaded)
    }
}
