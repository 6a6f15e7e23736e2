//! Starting a saga, once for each definition and correlation id.

use orchestratum_core::saga::{DefinitionName, Event, EventName};
use orchestratum_core::{JsonText, Origin};
use orchestratum_store::{IdempotencyKey, NewSaga, Saga, StartOutcome};

use crate::{Engine, Error, identity};

/// The event on which a saga begins that is started by its definition.
const START: &str = "start";

/// A request to start a saga.
#[derive(Debug, Clone)]
pub struct StartSaga {
    pub definition: DefinitionName,
    /// `None`: the newest.
    pub version: Option<u32>,
    /// By which the caller knows it; `None`: its own id.
    pub correlation_id: Option<String>,
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
        let event = Event {
            id: START.to_owned(),
            name: EventName::new(START).expect("a name"),
            data: request.input.clone(),
        };
        self.start_saga_on(request, event).await
    }

    /// The same on another event.
    pub(super) async fn start_saga_on(&self, request: StartSaga, event: Event) -> Result<StartedSaga, Error> {
        let id = self.parts.clock.new_saga_id();
        let definition = request.definition.clone();
        let version = request.version;
        let saga = NewSaga {
            id,
            definition: request.definition,
            version,
            correlation_id: request.correlation_id.unwrap_or_else(|| id.to_string()),
            input: request.input,
            event,
            origin: request.origin,
            actor: request.actor,
            seed: identity::seed(),
            idempotency: request.idempotency,
        };
        match self.parts.saga_starts.submit(saga).await? {
            StartOutcome::Started(advanced) => Ok(StartedSaga::New(advanced.saga)),
            StartOutcome::Exists(saga) => Ok(StartedSaga::Existing(*saga)),
            StartOutcome::Replayed(id) => match self.saga(id).await {
                Err(Error::SagaNotFound(saga)) => Err(Error::SagaGone { saga }),
                found => Ok(StartedSaga::Replayed(found?)),
            },
            StartOutcome::KeyReused => Err(Error::IdempotencyKeyReused),
            StartOutcome::NoDefinition => Err(Error::DefinitionNotFound {
                name: definition,
                version,
            }),
            StartOutcome::Rejected(rejection) => Err(Error::SagaCannotStart { definition, rejection }),
        }
    }
}
