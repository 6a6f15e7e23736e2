//! Definitions that are ready to run, as a process keeps them: a version never changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, Definition, DefinitionName};
use parking_lot::Mutex;

use crate::decide::Compiled;
use crate::{Error, answers};

/// How many are kept. All that run are far fewer; whoever sends new versions all the time must not fill the memory.
const KEPT: usize = 1_000;

/// How much memory they take.
const KEPT_BYTES: usize = 120 << 20;

/// What is compiled of a canonical form is up to some thirty times as large, beside its schemas.
const COMPILED_TIMES: usize = 30;

#[derive(Debug, Default)]
pub(crate) struct CompiledDefinitions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    compiled: Compiled,
    /// The memory they take at the most.
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
        let bytes = COMPILED_TIMES * canonical.len() + answers::memory(&definition);
        let compiled = CompiledDefinition::new(definition).map_err(|faults| damaged(faults.to_string()))?;
        let compiled = Arc::new(compiled.checking_answers(answers::Schema::boxed));
        let key = (name.clone(), version);
        self.0.lock().insert(key, bytes, Arc::clone(&compiled));
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
        let size = COMPILED_TIMES * canonical.len();
        let fit = KEPT_BYTES / size;
        for version in 1..=30 {
            definitions.put(&name, version, &canonical).expect("it is compiled");
            let kept = definitions.0.lock();
            assert!(kept.bytes <= KEPT_BYTES);
            assert_eq!(kept.bytes, kept.compiled.len() * size);
            assert!(kept.compiled.len() <= fit);
        }
        let (kept, missing) = definitions.kept([(name.clone(), 30), (name.clone(), 1)]);
        assert_eq!((kept.len(), missing.len()), (1, 1));
        let before = definitions.0.lock().bytes;
        definitions.put(&name, 30, &canonical).expect("it is compiled");
        assert_eq!(definitions.0.lock().bytes, before, "it counts once");
    }

    #[test]
    fn schemas_count_with_the_memory_they_take() {
        let definitions = CompiledDefinitions::default();
        let name = DefinitionName::new("asking").expect("a name");
        let long = "x".repeat(15_000);
        let types = vec![r#"{"type":"null"}"#; 100].join(",");
        let canonical = format!(
            r#"{{"name":"asking","initial":"A","states":{{"A":{{"await_input":{{"event":"x","prompt":"?","schema":
                {{"properties":{{"{long}":{{"anyOf":[{types}]}}}}}}}},"on":{{"x":[{{"target":"B"}}]}}}},"B":{{"final":true}}}}}}"#
        );
        definitions.put(&name, 1, &canonical).expect("it is compiled");
        // Each of the types keeps its place, with the long name in it.
        let kept = definitions.0.lock().bytes;
        assert!(kept > COMPILED_TIMES * canonical.len() + 100 * long.len(), "{kept}");
    }
}
