//! Giving a definition: read, held against every rule, stored as a version that never changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use orchestratum_core::saga::{
    self, Checked, CompiledDefinition, Definition, DefinitionName, EventName, Faults, MayBeMissing, State,
};
use orchestratum_store::{Audit, DefinitionHead, NewDefinition, StoredDefinition, answers};

use crate::{Engine, Error};

/// How many definitions are looked at together.
const TOGETHER_MAX: usize = 50;

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

/// A definition that may be stored.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) new: NewDefinition,
    /// What is doubtful in it.
    pub(super) warnings: Faults,
    /// The other definitions that it starts.
    pub(super) children: Vec<MayBeMissing>,
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
        let given = self.checked_aside(source).await?.map_err(Error::InvalidDefinition)?;
        if given.new.name != *expected {
            return Err(Error::OtherDefinitionName {
                expected: expected.clone(),
                found: given.new.name,
            });
        }
        let mut given = [given];
        self.warn_of_missing(&mut given).await?;
        let [Given { new, warnings, .. }] = given;
        self.store_definition(new, warnings, actor).await
    }

    /// Adds a warning for each definition that one of these starts and that is neither stored nor one of these. It is no fault: they may
    /// be given in any order.
    pub(super) async fn warn_of_missing(&self, given: &mut [Given]) -> Result<(), Error> {
        let together: BTreeSet<DefinitionName> = given.iter().map(|given| given.new.name.clone()).collect();
        for Given { warnings, children, .. } in given {
            children.retain(|child| !together.contains(&child.definition));
            if children.is_empty() {
                continue;
            }
            let names: Vec<DefinitionName> = children.iter().map(|child| child.definition.clone()).collect();
            let stored = self.parts.store.defined_of(&names).await?;
            children.retain(|child| !stored.contains(&child.definition));
            warnings.0.extend(children.drain(..).map(|child| child.warning));
            warnings.0.sort_by_key(|warning| warning.place);
        }
        Ok(())
    }

    /// The same as [`checked_definition`](Self::checked_definition), aside: a large one takes its time.
    pub(super) async fn checked_aside(&self, source: String) -> Result<Result<Given, Faults>, Error> {
        let engine = self.clone();
        let checking = move || engine.checked_definition(source);
        self.parts.definitions.compute(checking).await
    }

    /// A definition that may be stored, with what is doubtful in it.
    fn checked_definition(&self, source: String) -> Result<Given, Faults> {
        let limits = self.parts.settings.tasks.limits();
        let checked = saga::check_with(&source, &limits, self.parts.clock.now(), answers::faults);
        let Checked {
            definition,
            warnings,
            children,
        } = checked?;
        let new = NewDefinition {
            name: definition.name.clone(),
            fingerprint: definition.fingerprint(),
            canonical: definition.canonical(),
            starting_events: starting_events(&definition),
            source,
        };
        Ok(Given {
            new,
            warnings,
            children,
        })
    }

    pub(super) async fn store_definition(
        &self,
        new: NewDefinition,
        mut warnings: Faults,
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
        warnings.0.extend(self.doubtful_together(&new, stored.version).await.0);
        Ok(Defined {
            name: new.name,
            version: stored.version,
            is_new: stored.is_new,
            warnings,
        })
    }

    /// What is doubtful in it together with those that it starts. It is stored: what cannot be read now is not told.
    async fn doubtful_together(&self, new: &NewDefinition, version: u32) -> Faults {
        // Most start none.
        if !new.canonical.contains("\"saga\":") {
            return Faults::default();
        }
        let together = self.started_by(&new.name, version).await;
        let Some((definition, others)) = together.split_first().filter(|(_, others)| !others.is_empty()) else {
            return Faults::default();
        };
        let (definition, others, source) = (Arc::clone(definition), others.to_vec(), new.source.clone());
        let checking = move || {
            let others: Vec<&Definition> = others.iter().map(|other| other.definition()).collect();
            saga::check_together(&source, definition.definition(), &others)
        };
        self.parts.definitions.compute(checking).await.unwrap_or_default()
    }

    /// It, and behind it those that it starts, and that they start, in their newest versions as far as there are some.
    async fn started_by(&self, name: &DefinitionName, version: u32) -> Vec<Arc<CompiledDefinition>> {
        let store = &self.parts.store;
        let mut together: Vec<Arc<CompiledDefinition>> = Vec::new();
        let mut seen = BTreeSet::from([name.clone()]);
        let mut open: Vec<(DefinitionName, Option<u32>)> = vec![(name.clone(), Some(version))];
        while let Some((name, version)) = open.pop()
            && together.len() < TOGETHER_MAX
        {
            let version = match version {
                Some(version) => Some(version),
                None => store
                    .definition(&name, None)
                    .await
                    .ok()
                    .flatten()
                    .map(|newest| newest.version),
            };
            let Some(version) = version else { continue };
            let Ok(Some(compiled)) = store.compiled_definition(&name, version).await else {
                continue;
            };
            let children = saga::started_definitions(compiled.definition()).into_iter();
            open.extend(
                children
                    .filter(|child| seen.insert((*child).clone()))
                    .map(|child| (child.clone(), None)),
            );
            together.push(compiled);
        }
        together
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
