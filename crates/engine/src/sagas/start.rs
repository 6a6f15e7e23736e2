//! Starting a saga, once for each definition and correlation id.

use orchestratum_core::saga::{DefinitionName, Event, Rejection};
use orchestratum_core::{JsonText, Origin, SagaId};
use orchestratum_store::{IdempotencyKey, KeyedSaga, NewSaga, Saga, StartOutcome};

use crate::{Engine, Error, identity};

/// A request to start a saga.
#[derive(Debug, Clone)]
pub struct StartSaga {
    pub definition: DefinitionName,
    /// `None`: the newest.
    pub version: Option<u32>,
    /// By which the caller knows it; `None`: its own id.
    pub correlation_id: Option<String>,
    /// `null`: none, which is `{}`.
    pub input: JsonText,
    pub origin: Origin,
    pub actor: Option<String>,
    pub idempotency: Option<IdempotencyKey>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StartedSaga {
    New(Saga),
    /// There is one of this definition with this correlation id: nothing was started.
    Existing(Saga),
    /// The idempotency key was used before, with the same body: the saga of that request, as it is now.
    Replayed(Saga),
}

impl StartedSaga {
    pub fn into_saga(self) -> Saga {
        match self {
            Self::New(saga) | Self::Existing(saga) | Self::Replayed(saga) => saga,
        }
    }
}

impl Engine {
    /// Starts a saga with its first tasks, in one commit.
    ///
    /// # Errors
    /// [`Error::DefinitionNotFound`], [`Error::SagaCannotStart`], [`Error::IdempotencyKeyReused`], [`Error::SagaGone`].
    pub async fn start_saga(&self, request: StartSaga) -> Result<StartedSaga, Error> {
        let request = StartSaga {
            input: given(request.input),
            ..request
        };
        let event = Event::start(request.input.clone());
        let (definition, version) = (request.definition.clone(), request.version);
        let outcome = self.start_alone(self.new_saga(request, event)).await?;
        self.begun(outcome, definition, version).await
    }

    /// Starts sagas that all begin on one event: all of them, or none.
    ///
    /// Of those that are there or that cannot start each is told; then those are left out that another one keeps from starting.
    pub(super) async fn start_all_on(
        &self,
        requests: Vec<StartSaga>,
        event: &Event,
    ) -> Result<Vec<Result<StartedSaga, Error>>, Error> {
        let definitions: Vec<DefinitionName> = requests.iter().map(|request| request.definition.clone()).collect();
        let sagas = requests
            .into_iter()
            .map(|request| self.new_saga(request, event.clone()));
        let mut sagas: Vec<NewSaga> = sagas.collect();
        let outcomes = match sagas.pop() {
            // One alone shares its commit with those of others.
            Some(saga) if sagas.is_empty() => vec![self.start_alone(saga).await?],
            last => {
                sagas.extend(last);
                self.start_together(sagas).await?
            }
        };
        let mut started = Vec::with_capacity(outcomes.len());
        for (outcome, definition) in outcomes.into_iter().zip(definitions) {
            if outcome != StartOutcome::Withheld {
                started.push(self.begun(outcome, definition, None).await);
            }
        }
        Ok(started)
    }

    /// Starts it with others that come at the same time.
    async fn start_alone(&self, saga: NewSaga) -> Result<StartOutcome, Error> {
        loop {
            match self.parts.saga_starts.submit(saga.clone()).await? {
                // Behind those that came meanwhile.
                StartOutcome::Left => {}
                outcome => return Ok(outcome),
            }
        }
    }

    /// What this idempotency key has started, if it was used before.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`], [`Error::SagaGone`].
    pub(crate) async fn saga_of_key(&self, key: &IdempotencyKey) -> Result<Option<Saga>, Error> {
        match self.parts.store.saga_of_key(key).await? {
            None => Ok(None),
            Some(KeyedSaga::Reused) => Err(Error::IdempotencyKeyReused),
            Some(KeyedSaga::Started(saga)) => self.started_before(saga).await.map(Some),
        }
    }

    async fn started_before(&self, saga: SagaId) -> Result<Saga, Error> {
        match self.saga(saga).await {
            Err(Error::SagaNotFound(saga)) => Err(Error::SagaGone { saga }),
            found => found,
        }
    }

    async fn begun(
        &self,
        outcome: StartOutcome,
        definition: DefinitionName,
        version: Option<u32>,
    ) -> Result<StartedSaga, Error> {
        match outcome {
            StartOutcome::Started(advanced) => Ok(StartedSaga::New(advanced.saga)),
            StartOutcome::Exists(saga) => Ok(StartedSaga::Existing(*saga)),
            StartOutcome::Replayed(saga) => Ok(StartedSaga::Replayed(self.started_before(saga).await?)),
            StartOutcome::KeyReused => Err(Error::IdempotencyKeyReused),
            StartOutcome::NoDefinition => Err(Error::DefinitionNotFound {
                name: definition,
                version,
            }),
            StartOutcome::Rejected(Rejection::InvalidAnswer { violations, .. }) => Err(Error::Invalid(violations)),
            StartOutcome::Rejected(rejection) => Err(Error::SagaCannotStart { definition, rejection }),
            StartOutcome::Withheld => unreachable!("what another one keeps from beginning is told by that one"),
            StartOutcome::Left => {
                unreachable!("it is asked for again, and of what is started together nothing is left")
            }
        }
    }

    /// A saga that begins on an event.
    fn new_saga(&self, request: StartSaga, event: Event) -> NewSaga {
        let id = self.parts.clock.new_saga_id();
        NewSaga {
            id,
            definition: request.definition,
            version: request.version,
            correlation_id: request.correlation_id.unwrap_or_else(|| id.to_string()),
            input: given(request.input),
            event,
            origin: request.origin,
            actor: request.actor,
            seed: identity::seed(),
            idempotency: request.idempotency,
        }
    }
}

/// Without an input the fields that a definition asks for are missing, each of them: `has(input.field)` says so.
fn given(input: JsonText) -> JsonText {
    if input.as_str() == "null" {
        JsonText::trusted("{}")
    } else {
        input
    }
}
