//! Definitions that are ready to run, as a process keeps them: a version never changes.
//!
//! To compile one takes up to a tenth of a second, and rows are locked while a transaction is open. So a transaction that misses
//! some is given up, they are compiled with nothing locked, one at a time, and it is begun again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, Definition, DefinitionName};
use parking_lot::Mutex;

use crate::decide::Compiled;
use crate::{Error, answers};

/// How many are kept. All that run are far fewer; whoever sends new versions all the time must not fill the memory.
const KEPT: usize = 1_000;

/// How much memory they take.
const KEPT_BYTES: usize = 120 << 20;

/// How much those take that one call may miss: it holds them all until it is over.
const MISSED_BYTES: usize = KEPT_BYTES / 2;

/// What is compiled of a canonical form is up to some thirty times as large, beside its schemas.
const COMPILED_TIMES: usize = 30;

/// How often a call is begun again for what it misses. More than once only where other versions are wanted meanwhile.
const ROUNDS: usize = 5;

/// A version of a definition.
pub(crate) type Version = (DefinitionName, u32);

#[derive(Debug, Default)]
pub(crate) struct CompiledDefinitions {
    kept: Mutex<Kept>,
    /// One is compiled at a time: what several calls miss is compiled once, and the other processors have their own work.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    definitions: HashMap<Version, KeptDefinition>,
    /// The memory they take at the most.
    bytes: usize,
    /// How often one was asked for.
    uses: u64,
}

#[derive(Debug)]
struct KeptDefinition {
    compiled: Arc<CompiledDefinition>,
    bytes: usize,
    last_use: u64,
}

/// Those that a call may use: what it has compiled itself it holds until it is over, whatever others make room for.
#[derive(Debug, Clone)]
pub(crate) struct Definitions {
    shared: Arc<CompiledDefinitions>,
    held: Compiled,
}

impl Definitions {
    /// Those of these versions that are ready, and those that are to be compiled.
    pub(crate) fn ready(&self, wanted: impl IntoIterator<Item = Version>) -> (Compiled, Vec<Version>) {
        let (mut ready, mut missing) = self.shared.kept(wanted);
        missing.retain(|version| match self.held.get(version) {
            Some(held) => ready.insert(version.clone(), Arc::clone(held)).is_some(),
            None => true,
        });
        (ready, missing)
    }
}

impl Kept {
    fn get(&mut self, key: &Version) -> Option<Arc<CompiledDefinition>> {
        self.uses += 1;
        let kept = self.definitions.get_mut(key)?;
        kept.last_use = self.uses;
        Some(Arc::clone(&kept.compiled))
    }

    /// Where there is no room, those are let go that nobody has asked for the longest.
    fn insert(&mut self, key: Version, bytes: usize, compiled: Arc<CompiledDefinition>) {
        if self.definitions.contains_key(&key) {
            return;
        }
        while self.definitions.len() >= KEPT || (self.bytes + bytes > KEPT_BYTES && !self.definitions.is_empty()) {
            self.let_one_go();
        }
        self.uses += 1;
        self.bytes += bytes;
        let kept = KeptDefinition {
            compiled,
            bytes,
            last_use: self.uses,
        };
        self.definitions.insert(key, kept);
    }

    fn let_one_go(&mut self) {
        let oldest = self.definitions.iter().min_by_key(|(_, kept)| kept.last_use);
        let oldest = oldest.map(|(key, _)| key.clone());
        if let Some(kept) = oldest.and_then(|key| self.definitions.remove(&key)) {
            self.bytes -= kept.bytes;
        }
    }
}

impl CompiledDefinitions {
    /// Those of these versions that are kept, and the others.
    fn kept(&self, wanted: impl IntoIterator<Item = Version>) -> (Compiled, Vec<Version>) {
        let mut kept = self.kept.lock();
        let (mut compiled, mut missing) = (Compiled::new(), Vec::new());
        for key in wanted {
            if compiled.contains_key(&key) || missing.contains(&key) {
                continue;
            }
            match kept.get(&key) {
                Some(definition) => {
                    compiled.insert(key, definition);
                }
                None => missing.push(key),
            }
        }
        (compiled, missing)
    }

    pub(crate) fn one(&self, name: &DefinitionName, version: u32) -> Option<Arc<CompiledDefinition>> {
        self.kept.lock().get(&(name.clone(), version))
    }

    /// Compiles the canonical form of a version, on a thread where nobody waits, and keeps it.
    pub(crate) async fn compile(
        self: &Arc<Self>,
        name: &DefinitionName,
        version: u32,
        canonical: String,
    ) -> Result<Arc<CompiledDefinition>, Error> {
        let _turn = self.turn.lock().await;
        if let Some(meanwhile) = self.one(name, version) {
            return Ok(meanwhile);
        }
        let (definitions, name) = (Arc::clone(self), name.clone());
        let compiling = tokio::task::spawn_blocking(move || definitions.put(&name, version, &canonical));
        match compiling.await {
            Ok(compiled) => compiled,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // The runtime shuts down.
            Err(_) => Err(Error::Unavailable(sqlx::Error::PoolClosed)),
        }
    }

    fn put(&self, name: &DefinitionName, version: u32, canonical: &str) -> Result<Arc<CompiledDefinition>, Error> {
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
        self.kept.lock().insert(key, bytes, Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// Why a call that misses these ends: `sizes` are the bytes of their canonical forms. None where there are none such.
pub(crate) fn not_compiled(missing: Vec<(Version, usize)>) -> Result<(), Error> {
    let bytes: usize = missing.iter().map(|(_, size)| COMPILED_TIMES * size).sum();
    if missing.is_empty() {
        Ok(())
    } else if missing.len() > 1 && bytes > MISSED_BYTES {
        Err(Error::TooMuchAtOnce)
    } else {
        Err(Error::NotCompiled(
            missing.into_iter().map(|(version, _)| version).collect(),
        ))
    }
}

/// Does what needs definitions, as often as it misses some that are compiled then.
pub(crate) async fn with_definitions<Answer, Performing, Compiling>(
    shared: &Arc<CompiledDefinitions>,
    perform: impl Fn(Definitions) -> Performing,
    compile: impl Fn(Version) -> Compiling,
) -> Result<Answer, Error>
where
    Performing: Future<Output = Result<Answer, Error>>,
    Compiling: Future<Output = Result<Option<Arc<CompiledDefinition>>, Error>>,
{
    let mut definitions = Definitions {
        shared: Arc::clone(shared),
        held: Compiled::new(),
    };
    for _ in 0..ROUNDS {
        match perform(definitions.clone()).await {
            Err(Error::NotCompiled(missing)) => {
                for version in missing {
                    let compiled = compile(version.clone()).await?;
                    definitions.held.extend(compiled.map(|compiled| (version, compiled)));
                }
            }
            performed => return performed,
        }
    }
    Err(Error::TooMuchAtOnce)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

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
            let kept = definitions.kept.lock();
            assert!(kept.bytes <= KEPT_BYTES);
            assert_eq!(kept.bytes, kept.definitions.len() * size);
            assert!(kept.definitions.len() <= fit);
        }
        let (kept, missing) = definitions.kept([(name.clone(), 30), (name.clone(), 1), (name.clone(), 1)]);
        assert_eq!((kept.len(), missing), (1, vec![(name.clone(), 1)]));
        let before = definitions.kept.lock().bytes;
        definitions.put(&name, 30, &canonical).expect("it is compiled");
        assert_eq!(definitions.kept.lock().bytes, before, "it counts once");
    }

    #[test]
    fn those_that_are_used_stay() {
        let definitions = CompiledDefinitions::default();
        let name = DefinitionName::new("small").expect("a name");
        let canonical = r#"{"name":"small","initial":"A","states":{"A":{"final":true}}}"#;
        let last = u32::try_from(2 * KEPT).expect("a few");
        for version in 1..=last {
            definitions.put(&name, version, canonical).expect("it is compiled");
            assert!(definitions.one(&name, 1).is_some(), "it is used all the time");
        }
        let kept = definitions.kept.lock();
        assert_eq!(kept.definitions.len(), KEPT);
        assert!(!kept.definitions.contains_key(&(name.clone(), 2)));
        assert!(kept.definitions.contains_key(&(name, last)));
    }

    #[test]
    fn calls_that_miss_too_much_are_for_fewer() {
        let version = |number: u32| (DefinitionName::new("large").expect("a name"), number);
        let size = MISSED_BYTES / COMPILED_TIMES;
        assert!(not_compiled(Vec::new()).is_ok());
        let one = not_compiled(vec![(version(1), 2 * size)]);
        assert!(matches!(one, Err(Error::NotCompiled(missing)) if missing == [version(1)]));
        let two = not_compiled(vec![(version(1), size), (version(2), size)]);
        assert!(matches!(two, Err(Error::TooMuchAtOnce)));
    }

    #[tokio::test]
    async fn a_call_is_begun_again_with_what_it_missed() {
        let definitions = Arc::new(CompiledDefinitions::default());
        let version = (DefinitionName::new("small").expect("a name"), 1);
        let canonical = r#"{"name":"small","initial":"A","states":{"A":{"final":true}}}"#;
        let perform = |call: Definitions| {
            let (compiled, missing) = call.ready([version.clone()]);
            let missing = missing.into_iter().map(|version| (version, canonical.len()));
            ready(not_compiled(missing.collect()).map(|()| compiled.len()))
        };
        let compile = |(name, version)| {
            let definitions = &definitions;
            async move {
                let compiled = definitions.compile(&name, version, canonical.to_owned()).await;
                // Others need the room.
                definitions.kept.lock().let_one_go();
                compiled.map(Some)
            }
        };
        let compiled = with_definitions(&definitions, perform, compile).await;
        assert_eq!(compiled.expect("it is compiled"), 1, "it holds what it has compiled");
        // Where there is no end of what is missing it is given up.
        let misses = |_| async { Err::<(), _>(Error::NotCompiled(vec![version.clone()])) };
        let none = |_: Version| async { Ok(None) };
        assert!(matches!(
            with_definitions(&definitions, misses, none).await,
            Err(Error::TooMuchAtOnce)
        ));
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
        let kept = definitions.kept.lock().bytes;
        assert!(kept > COMPILED_TIMES * canonical.len() + 100 * long.len(), "{kept}");
    }
}
