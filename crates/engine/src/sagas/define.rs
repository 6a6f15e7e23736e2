//! Giving a definition: read, held against every rule, stored as a version that never changes.

use orchestratum_core::saga::{self, Checked, DefinitionName, EventName, Faults, State};
use orchestratum_store::{Audit, DefinitionHead, NewDefinition, StoredDefinition, answers};

use crate::{Engine, Error};

/// What became of a definition that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    pub name: DefinitionName,
    pub version: u32,
    /// Whether it is new: the same content again is the version that it was.
    pub is_new: bool,
    /// What is allowed and may not be meant.
    pub warnings: Faults,
}

impl Engine {
    /// Reads a definition, YAML or JSON, and stores it as the next version of its name, unless the newest has the same content.
    /// Instances that run keep the version with which they began.
    ///
    /// # Errors
    /// [`Error::InvalidDefinition`] with every fault and its place, [`Error::OtherDefinitionName`] where it does not have the name
    /// that was expected, [`Error::Overloaded`] while others are read.
    pub async fn put_definition(
        &self,
        expected: &DefinitionName,
        source: String,
        actor: Option<String>,
    ) -> Result<Defined, Error> {
        let (new, warnings) = self.checked_aside(source).await?.map_err(Error::InvalidDefinition)?;
        if new.name != *expected {
            return Err(Error::OtherDefinitionName {
                expected: expected.clone(),
                found: new.name,
            });
        }
        self.store_definition(new, warnings, actor).await
    }

    /// The same as [`checked_definition`](Self::checked_definition), aside: a large one takes its time.
    pub(super) async fn checked_aside(&self, source: String) -> Result<Result<(NewDefinition, Faults), Faults>, Error> {
        let engine = self.clone();
        let checking = move || engine.checked_definition(source);
        self.parts.definitions.compute(checking).await
    }

    /// A definition that may be stored, with what is doubtful in it.
    fn checked_definition(&self, source: String) -> Result<(NewDefinition, Faults), Faults> {
        let limits = self.parts.settings.tasks.limits();
        let checked = saga::check_with(&source, &limits, self.parts.clock.now(), answers::faults);
        let Checked { definition, warnings } = checked?;
        let new = NewDefinition {
            name: definition.name.clone(),
            fingerprint: definition.fingerprint(),
            canonical: definition.canonical(),
            starting_events: starting_events(&definition),
            source,
        };
        Ok((new, warnings))
    }

    pub(super) async fn store_definition(
        &self,
        new: NewDefinition,
        warnings: Faults,
        actor: Option<String>,
    ) -> Result<Defined, Error> {
        let audit = Audit {
            actor,
            action: "put_definition",
            detail: None,
        };
        let now = self.parts.clock.now();
        let stored = self.parts.store.put_definition(&new, &audit, now).await?;
        if stored.is_new {
            tracing::info!(saga.definition = %new.name, saga.definition_version = stored.version, "saga definition stored");
        }
        Ok(Defined {
            name: new.name,
            version: stored.version,
            is_new: stored.is_new,
            warnings,
        })
    }

    /// `None` for the newest version.
    ///
    /// # Errors
    /// [`Error::DefinitionNotFound`].
    pub async fn definition(&self, name: &DefinitionName, version: Option<u32>) -> Result<StoredDefinition, Error> {
        let found = self.parts.store.definition(name, version).await?;
        found.ok_or_else(|| Error::DefinitionNotFound {
            name: name.clone(),
            version,
        })
    }

    /// The newest version of each, by name; `after` is the last name of the page before.
    pub async fn definitions(
        &self,
        after: Option<&DefinitionName>,
        limit: usize,
    ) -> Result<Vec<DefinitionHead>, Error> {
        Ok(self.parts.store.definitions(after, limit).await?)
    }

    /// All versions of one, the newest first; `before` is the last of the page before.
    ///
    /// # Errors
    /// [`Error::DefinitionNotFound`].
    pub async fn definition_versions(
        &self,
        name: &DefinitionName,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<DefinitionHead>, Error> {
        let versions = self.parts.store.definition_versions(name, before, limit).await?;
        if versions.is_empty() && before.is_none() {
            return Err(Error::DefinitionNotFound {
                name: name.clone(),
                version: None,
            });
        }
        Ok(versions)
    }
}

/// What the initial state takes.
fn starting_events(definition: &saga::Definition) -> Vec<EventName> {
    match definition.states.get(&definition.initial) {
        Some(State::Active(state)) => state.on.keys().cloned().collect(),
        Some(State::Final { .. }) | None => Vec::new(),
    }
}
