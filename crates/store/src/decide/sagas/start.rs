//! The beginning of sagas: their first steps, made before anything of them is stored.

use std::collections::HashMap;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, DefinitionName, Input, Instance, Rejection};
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{SagaId, Timestamp};
use uuid::Uuid;

use super::super::{KeptKey, Repeat};
use super::fold::{Answered, Folded, Folding, LockedSaga, SagaHead};
use super::known::KnownEvents;
use super::look::Compiled;
use crate::{Advanced, Consequences, IdempotencyKey, NewSaga, Request, Saga, StartOutcome};

/// What a saga is known by that its caller chose.
pub(crate) type SagaName = (DefinitionName, String);

pub(crate) fn saga_name(definition: &DefinitionName, correlation_id: &str) -> SagaName {
    (definition.clone(), correlation_id.to_owned())
}

/// By which version each of them runs; `None` where there is no such definition.
pub(crate) fn wanted_versions(
    sagas: &[NewSaga],
    newest: &HashMap<DefinitionName, u32>,
) -> Vec<Option<(DefinitionName, u32)>> {
    let version = |saga: &NewSaga| {
        let version = saga.version.or_else(|| newest.get(&saga.definition).copied())?;
        Some((saga.definition.clone(), version))
    };
    sagas.iter().map(version).collect()
}

/// What is stored of what the starts name.
#[derive(Debug)]
pub(crate) struct Known {
    /// By their idempotency keys.
    pub(crate) kept: HashMap<(String, String), KeptKey>,
    /// By their definitions and correlation ids.
    pub(crate) existing: HashMap<SagaName, Saga>,
}

/// The idempotency keys of the starts.
pub(crate) fn keys_of_starts(sagas: &[NewSaga]) -> Vec<&IdempotencyKey> {
    sagas.iter().filter_map(|saga| saga.idempotency.as_ref()).collect()
}

/// Many starts: the new sagas, and what each start has met.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    pub(crate) folded: Vec<Folded>,
    /// What each idempotency key stands for from now on: the saga that was started, or that was there.
    keys: Vec<(IdempotencyKey, SagaId)>,
    found: Vec<Found>,
}

#[derive(Debug)]
enum Found {
    Before(Box<Saga>),
    /// Another start of the same call has made it.
    Beside(usize),
    New(usize),
    Replayed(SagaId),
    KeyReused,
    NoDefinition,
    Rejected(Rejection),
    Withheld,
}

/// Whether starts of one call are bound to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// Each begins, or not.
    Each,
    /// All of them begin, or none does.
    AllOrNone,
}

impl Starts {
    /// `versions` as [`wanted_versions`] tells them.
    pub(crate) fn new(
        sagas: &[NewSaga],
        versions: Vec<Option<(DefinitionName, u32)>>,
        mut known: Known,
        compiled: &Compiled,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Self {
        let mut starts = Self::default();
        let mut started: HashMap<SagaName, usize> = HashMap::new();
        for (saga, version) in sagas.iter().zip(versions) {
            let key = saga.idempotency.as_ref();
            let kept = key.and_then(|key| Some((key, known.kept.get(&(key.scope.clone(), key.key.clone()))?)));
            let found = match kept.map(|(key, kept)| kept.repeat(key, saga.id.0)) {
                Some(Repeat::Reused) => Found::KeyReused,
                Some(Repeat::Replayed(id)) => Found::Replayed(SagaId(id)),
                // This very call has started it: it is there.
                Some(Repeat::Ours) => {
                    starts.find(saga, version, &known.existing, &mut started, compiled, (limits, now))
                }
                None => {
                    let found = starts.find(saga, version, &known.existing, &mut started, compiled, (limits, now));
                    if let Some((key, id)) = key.zip(starts.saga_of(&found)) {
                        let kept = KeptKey {
                            body_hash: key.body_hash,
                            ids: vec![id.0],
                        };
                        known.kept.insert((key.scope.clone(), key.key.clone()), kept);
                        starts.keys.push((key.clone(), id));
                    }
                    found
                }
            };
            starts.found.push(found);
        }
        starts
    }

    /// Takes back what is bound to one that cannot begin.
    pub(crate) fn bound(mut self, bond: Bond) -> Self {
        let is_refused = |found: &Found| matches!(found, Found::NoDefinition | Found::Rejected(_) | Found::KeyReused);
        if bond == Bond::AllOrNone && self.found.iter().any(is_refused) {
            self.folded.clear();
            self.keys.clear();
            for found in &mut self.found {
                if let Found::New(_) | Found::Beside(_) = found {
                    *found = Found::Withheld;
                }
            }
        }
        self
    }

    /// The idempotency keys to be kept, with what they stand for.
    pub(crate) fn keys(&self) -> Vec<(&IdempotencyKey, Vec<Uuid>)> {
        self.keys.iter().map(|(key, id)| (key, vec![id.0])).collect()
    }

    /// The saga that is there, or a new one.
    fn find(
        &mut self,
        saga: &NewSaga,
        version: Option<(DefinitionName, u32)>,
        existing: &HashMap<SagaName, Saga>,
        started: &mut HashMap<SagaName, usize>,
        compiled: &Compiled,
        (limits, now): (&SpecLimits, Timestamp),
    ) -> Found {
        let name = saga_name(&saga.definition, &saga.correlation_id);
        if let Some(there) = existing.get(&name) {
            return Found::Before(Box::new(there.clone()));
        }
        if let Some(place) = started.get(&name) {
            return Found::Beside(*place);
        }
        let Some((definition, version)) = version.and_then(|key| Some((compiled.get(&key).map(Arc::clone)?, key.1)))
        else {
            return Found::NoDefinition;
        };
        match start(saga, definition, version, limits, now) {
            Ok(folded) => {
                let place = self.folded.len();
                started.insert(name, place);
                self.folded.push(folded);
                Found::New(place)
            }
            Err(rejection) => Found::Rejected(rejection),
        }
    }

    fn saga_of(&self, found: &Found) -> Option<SagaId> {
        match found {
            Found::Before(saga) => Some(saga.id),
            Found::Beside(place) | Found::New(place) => Some(self.folded[*place].head.id),
            Found::Replayed(_) | Found::KeyReused | Found::NoDefinition | Found::Rejected(_) | Found::Withheld => None,
        }
    }

    /// What each caller is told; the first that started something with what follows the commit.
    pub(crate) fn outcomes(self, consequences: Consequences) -> Vec<StartOutcome> {
        let mut consequences = Some(consequences);
        let saga = |place: usize| {
            let folded = &self.folded[place];
            folded.head.saga(folded.instance.clone())
        };
        let outcome = |found: Found| match found {
            Found::Before(saga) => StartOutcome::Exists(saga),
            Found::Beside(place) => StartOutcome::Exists(Box::new(saga(place))),
            Found::New(place) => StartOutcome::Started(Box::new(Advanced {
                saga: saga(place),
                before: None,
                consequences: consequences.take().unwrap_or_default(),
                claimed: None,
            })),
            Found::Replayed(id) => StartOutcome::Replayed(id),
            Found::KeyReused => StartOutcome::KeyReused,
            Found::NoDefinition => StartOutcome::NoDefinition,
            Found::Rejected(rejection) => StartOutcome::Rejected(rejection),
            Found::Withheld => StartOutcome::Withheld,
        };
        self.found.into_iter().map(outcome).collect()
    }
}

/// The saga after its first step, or why it cannot begin.
fn start(
    saga: &NewSaga,
    definition: Arc<CompiledDefinition>,
    version: u32,
    limits: &SpecLimits,
    now: Timestamp,
) -> Result<Folded, Rejection> {
    let instance = Instance::new(
        definition.definition(),
        saga.id,
        saga.correlation_id.clone(),
        saga.input.clone(),
    );
    let locked = LockedSaga {
        head: SagaHead {
            id: saga.id,
            definition: saga.definition.clone(),
            definition_version: version,
            parent: None,
            depth: 0,
            origin: saga.origin.clone(),
            created_at: now,
            updated_at: now,
            finished_at: None,
            last_seq: 0,
            refusals: 0,
        },
        definition,
        instance,
    };
    let request = Request {
        input: Input::Started(saga.event.clone()),
        expected_version: None,
        actor: saga.actor.clone(),
        reason: None,
    };
    let mut folded = Folding::new(locked, (limits, saga.seed), now).bring(&[&request], KnownEvents::new());
    match folded.answers.pop().map(|answer| answer.outcome) {
        Some(Answered::Rejected(rejection)) => Err(rejection),
        _ => Ok(folded),
    }
}
