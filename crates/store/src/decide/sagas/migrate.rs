//! A saga that goes on by another version of its definition.

use std::sync::Arc;

use orchestratum_core::Timestamp;
use orchestratum_core::saga::{self, CompiledDefinition, Faults, Instance, Migration};
use orchestratum_core::task::SpecLimits;
use serde_json::json;

use super::EventColumns;
use super::fold::{EventSource, Folded, Folding, LockedSaga, SagaHead};
use super::look::{Compiled, definition_of};
use crate::{Advanced, Consequences, Error, EventKind, MigrateOutcome, MigrateSaga, Told};

/// What a migration comes to.
#[derive(Debug)]
pub(crate) enum Migrating {
    /// Nothing is to be written.
    Told(MigrateOutcome),
    Write(Box<Migrated>),
}

/// A saga that was moved.
#[derive(Debug)]
pub(crate) struct Migrated {
    pub(crate) folded: Folded,
    losses: Vec<String>,
}

/// `waits` says whether something has reached the saga that is to be looked at first.
pub(crate) fn migrate(
    (head, instance): (SagaHead, Instance),
    waits: bool,
    request: &MigrateSaga,
    compiled: &Compiled,
    limits: &SpecLimits,
    now: Timestamp,
) -> Result<Migrating, Error> {
    if waits {
        return Ok(Migrating::Told(MigrateOutcome::Unlooked));
    }
    let current = instance.version;
    if request.expected_version.is_some_and(|expected| expected != current) {
        return Ok(Migrating::Told(MigrateOutcome::VersionMismatch { current }));
    }
    if head.definition_version == request.version {
        return Ok(Migrating::Told(MigrateOutcome::Unchanged {
            saga: Box::new(head.saga(instance)),
            losses: Vec::new(),
        }));
    }
    let Some(to) = compiled.get(&(head.definition.clone(), request.version)) else {
        return Ok(Migrating::Told(MigrateOutcome::NoDefinition));
    };
    let locked = LockedSaga {
        definition: definition_of(compiled, &head)?,
        head,
        instance,
    };
    Ok(match Folding::new(locked, (limits, 0), now).migrate(to, request) {
        Err(faults) => Migrating::Told(MigrateOutcome::Refused(faults)),
        Ok(Migrated { folded, losses }) if request.dry_run => Migrating::Told(MigrateOutcome::Unchanged {
            saga: Box::new(folded.head.saga(folded.instance)),
            losses,
        }),
        Ok(migrated) => Migrating::Write(Box::new(migrated)),
    })
}

impl Migrated {
    /// What its caller is told when it is written.
    pub(crate) fn outcome(self, consequences: Consequences) -> MigrateOutcome {
        let Self { folded, losses } = self;
        MigrateOutcome::Migrated {
            advanced: Box::new(Advanced {
                saga: folded.head.saga(folded.instance),
                before: Some(folded.before),
                consequences,
                claimed: None,
            }),
            losses,
        }
    }
}

impl Folding<'_> {
    fn migrate(mut self, to: &Arc<CompiledDefinition>, request: &MigrateSaga) -> Result<Migrated, Faults> {
        let from_state = self.folded.instance.state.clone();
        let Migration {
            instance,
            effects,
            losses,
        } = saga::migrate(
            self.folded.instance.clone(),
            self.definition.definition(),
            to,
            &request.states,
            self.now,
        )?;
        let from_version = std::mem::replace(&mut self.folded.head.definition_version, request.version);
        self.folded.instance = instance;
        let mut told = Told::default();
        for effect in effects {
            self.effect(effect, &mut told);
        }
        let data = json!({"from_version": from_version, "to_version": request.version, "losses": losses});
        let columns = EventColumns {
            kind: EventKind::Migrated.code(),
            data: Some(data.to_string()),
            ..EventColumns::default()
        };
        let source = EventSource::Brought {
            columns: Box::new(columns),
            actor: request.actor.clone(),
        };
        self.record(source, from_state, &told, None);
        Ok(Migrated {
            folded: self.folded,
            losses,
        })
    }
}
