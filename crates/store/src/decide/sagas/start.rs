//! The beginning of sagas: their first steps, made before anything of them is stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use orchestratum_core::Timestamp;
use orchestratum_core::saga::{CompiledDefinition, DefinitionName, Input, Instance, Rejection};
use orchestratum_core::task::SpecLimits;

use super::fold::{Answered, Folded, Folding, LockedSaga, SagaHead};
use super::look::Compiled;
use crate::{Advanced, Audit, Consequences, NewSaga, Request, Saga, StartOutcome};

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

/// Many starts: the new sagas, and what each start has met.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    pub(crate) folded: Vec<Folded>,
    found: Vec<Found>,
}

#[derive(Debug)]
enum Found {
    Before(Box<Saga>),
    /// Another start of the same call has made it.
    Beside(usize),
    New(usize),
    NoDefinition,
    Rejected(Rejection),
}

impl Starts {
    /// `existing` are those that are there already; `versions` as [`wanted_versions`] tells them.
    pub(crate) fn new(
        sagas: &[NewSaga],
        versions: Vec<Option<(DefinitionName, u32)>>,
        existing: &HashMap<SagaName, Saga>,
        compiled: &Compiled,
        limits: &SpecLimits,
        now: Timestamp,
    ) -> Self {
        let mut starts = Self::default();
        let mut started: HashMap<SagaName, usize> = HashMap::new();
        for (saga, version) in sagas.iter().zip(versions) {
            let name = saga_name(&saga.definition, &saga.correlation_id);
            let found = if let Some(there) = existing.get(&name) {
                Found::Before(Box::new(there.clone()))
            } else if let Some(place) = started.get(&name) {
                Found::Beside(*place)
            } else if let Some((definition, version)) =
                version.and_then(|key| Some((compiled.get(&key).map(Arc::clone)?, key.1)))
            {
                match start(saga, definition, version, limits, now) {
                    Ok(folded) => {
                        let place = starts.folded.len();
                        started.insert(name, place);
                        starts.folded.push(folded);
                        Found::New(place)
                    }
                    Err(rejection) => Found::Rejected(rejection),
                }
            } else {
                Found::NoDefinition
            };
            starts.found.push(found);
        }
        starts
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
            Found::NoDefinition => StartOutcome::NoDefinition,
            Found::Rejected(rejection) => StartOutcome::Rejected(rejection),
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
        audit: Some(Audit {
            actor: saga.actor.clone(),
            action: "start_saga",
            detail: None,
        }),
    };
    let mut folded = Folding::new(locked, (limits, saga.seed), now).bring(&[&request], HashSet::new());
    match folded.answers.pop().map(|answer| answer.outcome) {
        Some(Answered::Rejected(rejection)) => Err(rejection),
        _ => Ok(folded),
    }
}
