//! Definitions that are ready to run, as a process keeps them: a version never changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, Definition, DefinitionName};
use parking_lot::Mutex;

use crate::decide::Compiled;
use crate::{Error, answers};

/// How many are kept. All that run are far fewer; whoever sends new versions all the time must not fill the memory.
const KEPT: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct CompiledDefinitions(Mutex<Compiled>);

impl CompiledDefinitions {
    /// Those of these versions that are kept, and those that are to be read.
    pub(crate) fn kept(
        &self,
        wanted: impl IntoIterator<Item = (DefinitionName, u32)>,
    ) -> (Compiled, BTreeSet<(DefinitionName, u32)>) {
        let kept = self.0.lock();
        let (mut compiled, mut missing) = (Compiled::new(), BTreeSet::new());
        for key in wanted {
            match kept.get(&key) {
                Some(definition) => {
                    compiled.insert(key, Arc::clone(definition));
                }
                None => {
                    missing.insert(key);
                }
            }
        }
        (compiled, missing)
    }

    pub(crate) fn one(&self, name: &DefinitionName, version: u32) -> Option<Arc<CompiledDefinition>> {
        self.0.lock().get(&(name.clone(), version)).map(Arc::clone)
    }

    /// Reads the canonical form of a version.
    pub(crate) fn put(
        &self,
        name: &DefinitionName,
        version: u32,
        canonical: &str,
    ) -> Result<Arc<CompiledDefinition>, Error> {
        let damaged = |detail: String| Error::Corrupt {
            table: "saga_definitions",
            column: "canonical",
            row: format!("{name}/{version}"),
            detail,
        };
        let definition: Definition = serde_json::from_str(canonical).map_err(|error| damaged(error.to_string()))?;
        let compiled = CompiledDefinition::new(definition).map_err(|faults| damaged(faults.to_string()))?;
        let compiled = Arc::new(compiled.checking_answers(answers::check));
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert((name.clone(), version), Arc::clone(&compiled));
        Ok(compiled)
    }
}
