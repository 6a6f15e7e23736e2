//! Definitions that are ready to run, as a process keeps them: a version never changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, Definition, DefinitionName};
use parking_lot::Mutex;

use crate::decide::Compiled;
use crate::{Error, answers};

/// How many are kept. All that run are far fewer; whoever sends new versions all the time must not fill the memory.
const KEPT: usize = 1_000;

/// How many bytes of canonical forms are kept. What is compiled of one is up to some thirty times as large.
const KEPT_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct CompiledDefinitions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    compiled: Compiled,
    /// Of their canonical forms.
    bytes: usize,
}

impl Kept {
    /// Where there is no room all others are let go: those that run are soon back.
    fn insert(&mut self, key: (DefinitionName, u32), bytes: usize, definition: Arc<CompiledDefinition>) {
        if self.compiled.contains_key(&key) {
            return;
        }
        if self.compiled.len() >= KEPT || self.bytes + bytes > KEPT_BYTES {
            *self = Self::default();
        }
        self.bytes += bytes;
        self.compiled.insert(key, definition);
    }
}

impl CompiledDefinitions {
    /// Those of these versions that are kept, and those that are to be read.
    pub(crate) fn kept(
        &self,
        wanted: impl IntoIterator<Item = (DefinitionName, u32)>,
    ) -> (Compiled, BTreeSet<(DefinitionName, u32)>) {
        let kept = self.0.lock();
        let (mut compiled, mut missing) = (Compiled::new(), BTreeSet::new());
        for key in wanted {
            match kept.compiled.get(&key) {
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
        self.0.lock().compiled.get(&(name.clone(), version)).map(Arc::clone)
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
        let key = (name.clone(), version);
        self.0.lock().insert(key, canonical.len(), Arc::clone(&compiled));
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_kept_as_the_memory_is_to_hold() {
        let definitions = CompiledDefinitions::default();
        let name = DefinitionName::new("large").expect("a name");
        let fill = "x".repeat(200_000);
        let canonical =
            format!(r#"{{"name":"large","context":{{"x":"{fill}"}},"initial":"A","states":{{"A":{{"final":true}}}}}}"#);
        let fit = KEPT_BYTES / canonical.len();
        for version in 1..=30 {
            definitions.put(&name, version, &canonical).expect("it is compiled");
            let kept = definitions.0.lock();
            assert!(kept.bytes <= KEPT_BYTES);
            assert_eq!(kept.bytes, kept.compiled.len() * canonical.len());
            assert!(kept.compiled.len() <= fit);
        }
        let (kept, missing) = definitions.kept([(name.clone(), 30), (name.clone(), 1)]);
        assert_eq!((kept.len(), missing.len()), (1, 1));
        let before = definitions.0.lock().bytes;
        definitions.put(&name, 30, &canonical).expect("it is compiled");
        assert_eq!(definitions.0.lock().bytes, before, "it counts once");
    }
}
