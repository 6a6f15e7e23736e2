//! The beginning of sagas: their first steps, made before anything of them is stored.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, Cost, DefinitionName, Input, Instance, Rejection};
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{SagaId, Timestamp};
use uuid::Uuid;

use super::super::{KeptKey, Repeat};
use super::allowance::{Allowance, too_large_together, too_much_together};
use super::fold::{Answered, Folded, Folding, LockedSaga, SagaHead};
use super::look::Compiled;
use crate::{Advanced, Consequences, Error, IdempotencyKey, NewSaga, Request, Saga, StartOutcome};

/// What a saga is known by that its caller chose.
pub(crate) type SagaName = (DefinitionName, String);

pub(crate) fn saga_name(definition: &DefinitionName, correlation_id: &str) -> SagaName {
    (definition.clone(), correlation_id.to_owned())
}

/// A definition and its version.
pub(crate) type Version = (DefinitionName, u32);

/// By which version each of them runs; `None` where there is no such definition.
pub(crate) fn wanted_versions(sagas: &[NewSaga], newest: &HashMap<DefinitionName, u32>) -> Vec<Option<Version>> {
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
    /// What the call may do was used up before.
    Left,
}

/// Whether starts of one call are bound to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// Each begins, or not.
    Each,
    /// All of them begin, or none does.
    AllOrNone,
}

/// What is bound together is never parted: where it is more than a call can hold, it would be so whenever it is tried again.
pub(crate) fn or_refused_together(
    outcomes: Result<Vec<StartOutcome>, Error>,
    sagas: usize,
    bond: Bond,
) -> Result<Vec<StartOutcome>, Error> {
    match outcomes {
        Err(Error::TooMuchAtOnce) if bond == Bond::AllOrNone => {
            let refused = || StartOutcome::Rejected(too_large_together(sagas));
            Ok(std::iter::repeat_with(refused).take(sagas).collect())
        }
        outcomes => outcomes,
    }
}

impl Starts {
    /// `versions` as [`wanted_versions`] tells them. It pauses now and then where the first steps cost much.
    pub(crate) async fn new<P: Future<Output = ()>>(
        (sagas, versions): (&[NewSaga], Vec<Option<Version>>),
        mut known: Known,
        compiled: &Compiled,
        bond: Bond,
        (limits, now): (&SpecLimits, Timestamp),
        pause: impl Fn() -> P,
    ) -> Self {
        let mut starts = Self::default();
        let mut allowance = Allowance::default();
        let mut started: HashMap<SagaName, usize> = HashMap::new();
        for (saga, version) in sagas.iter().zip(versions) {
            let key = saga.idempotency.as_ref();
            let kept = key.and_then(|key| Some((key, known.kept.get(&(key.scope.clone(), key.key.clone()))?)));
            let repeat = kept.map(|(key, kept)| kept.repeat(key, saga.id.0));
            let found = match repeat {
                Some(Repeat::Reused) => Found::KeyReused,
                Some(Repeat::Replayed(id)) => Found::Replayed(SagaId(id)),
                // This very call has started it: it is there.
                Some(Repeat::Ours) | None => {
                    let (found, cost) = if allowance.is_used_up() {
                        let found = there(saga, &known.existing, &started).unwrap_or_else(|| match bond {
                            Bond::Each => Found::Left,
                            // What is bound together is never parted: it would be as much whenever it is tried again.
                            Bond::AllOrNone => Found::Rejected(too_much_together(sagas.len())),
                        });
                        (found, Cost::default())
                    } else {
                        starts.find(saga, version, &known.existing, &mut started, compiled, (limits, now))
                    };
                    allowance.used(cost, &pause).await;
                    found
                }
            };
            if repeat.is_none()
                && let Some((key, id)) = key.zip(starts.saga_of(&found))
            {
                let kept = KeptKey {
                    body_hash: key.body_hash,
                    ids: vec![id.0],
                };
                known.kept.insert((key.scope.clone(), key.key.clone()), kept);
                starts.keys.push((key.clone(), id));
            }
            starts.found.push(found);
        }
        starts.bound(bond);
        starts
    }

    /// Takes back what is bound to one that cannot begin.
    fn bound(&mut self, bond: Bond) {
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
    }

    /// The idempotency keys to be kept, with what they stand for.
    pub(crate) fn keys(&self) -> Vec<(&IdempotencyKey, Vec<Uuid>)> {
        self.keys.iter().map(|(key, id)| (key, vec![id.0])).collect()
    }

    /// The saga that is there, or a new one; and what that has cost.
    fn find(
        &mut self,
        saga: &NewSaga,
        version: Option<(DefinitionName, u32)>,
        existing: &HashMap<SagaName, Saga>,
        started: &mut HashMap<SagaName, usize>,
        compiled: &Compiled,
        (limits, now): (&SpecLimits, Timestamp),
    ) -> (Found, Cost) {
        if let Some(there) = there(saga, existing, started) {
            return (there, Cost::default());
        }
        let Some((definition, version)) = version.and_then(|key| Some((compiled.get(&key).map(Arc::clone)?, key.1)))
        else {
            return (Found::NoDefinition, Cost::default());
        };
        let (started_saga, cost) = start(saga, definition, version, limits, now);
        let found = match started_saga {
            Ok(folded) => {
                let place = self.folded.len();
                started.insert(saga_name(&saga.definition, &saga.correlation_id), place);
                self.folded.push(folded);
                Found::New(place)
            }
            Err(rejection) => Found::Rejected(rejection),
        };
        (found, cost)
    }

    fn saga_of(&self, found: &Found) -> Option<SagaId> {
        match found {
            Found::Before(saga) => Some(saga.id),
            Found::Beside(place) | Found::New(place) => Some(self.folded[*place].head.id),
            Found::Replayed(_)
            | Found::KeyReused
            | Found::NoDefinition
            | Found::Rejected(_)
            | Found::Withheld
            | Found::Left => None,
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
            Found::Left => StartOutcome::Left,
        };
        self.found.into_iter().map(outcome).collect()
    }
}

/// The saga that is there.
fn there(saga: &NewSaga, existing: &HashMap<SagaName, Saga>, started: &HashMap<SagaName, usize>) -> Option<Found> {
    let name = saga_name(&saga.definition, &saga.correlation_id);
    let before = existing.get(&name).map(|there| Found::Before(Box::new(there.clone())));
    before.or_else(|| started.get(&name).map(|place| Found::Beside(*place)))
}

/// The saga after its first step, or why it cannot begin; and what that has cost.
fn start(
    saga: &NewSaga,
    definition: Arc<CompiledDefinition>,
    version: u32,
    limits: &SpecLimits,
    now: Timestamp,
) -> (Result<Folded, Rejection>, Cost) {
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
        expected: None,
        actor: saga.actor.clone(),
        reason: None,
    };
    let mut folding = Folding::new(locked, (limits, saga.seed), now);
    let cost = folding.bring(&request);
    let mut folded = folding.end();
    match folded.answers.pop().map(|answer| answer.outcome) {
        Some(Answered::Rejected(rejection)) => (Err(rejection), cost),
        _ => (Ok(folded), cost),
    }
}
