//! Bringing something to one saga: events, and the base of all other calls that change one.

use orchestratum_core::saga::{Event, EventName, Input, Rejection};
use orchestratum_core::{JsonText, SagaId};
use orchestratum_store::{Advance, AdvanceOutcome, Request, Saga};

use crate::{Engine, Error, identity};

/// An event for one saga.
#[derive(Debug, Clone)]
pub struct RaiseEvent {
    pub saga: SagaId,
    pub name: EventName,
    pub data: JsonText,
    /// The same again is the same event; `None`: nobody repeats it.
    pub id: Option<String>,
    /// `If-Match`.
    pub expected_version: Option<u64>,
    pub actor: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Raised {
    /// The saga after its event, and after all that had reached it before.
    Taken(Saga),
    /// The event was taken before: nothing was done twice.
    Repeated(Saga),
}

impl Raised {
    pub fn into_saga(self) -> Saga {
        match self {
            Self::Taken(saga) | Self::Repeated(saga) => saga,
        }
    }
}

impl Engine {
    /// Raises an event in a saga.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaRejected`] where its state does not take the event, [`Error::Invalid`] where it asks for
    /// such an event and the data break its schema, [`Error::EventIdReused`], [`Error::SagaVersionMismatch`].
    pub async fn raise(&self, event: RaiseEvent) -> Result<Raised, Error> {
        let RaiseEvent {
            saga,
            name,
            data,
            id,
            expected_version,
            actor,
        } = event;
        let event = Event {
            id: id.unwrap_or_else(|| self.parts.clock.time_ordered().to_string()),
            name,
            data,
        };
        let raised = self
            .bring(saga, by_someone(Input::EventRaised(event), expected_version, actor))
            .await;
        raised.map_err(|error| match error {
            Error::SagaRejected {
                rejection: Rejection::InvalidAnswer { violations, .. },
                ..
            } => Error::Invalid(violations),
            error => error,
        })
    }

    /// Puts an input to a saga, after all that has reached it before.
    pub(super) async fn bring(&self, saga: SagaId, request: Request) -> Result<Raised, Error> {
        let expected = Vec::from_iter(request.expected_version);
        let advance = Advance {
            saga,
            request: Some(request),
            offer: None,
            seed: identity::seed(),
        };
        match self.look_in_turn(advance).await? {
            AdvanceOutcome::Done(advanced) => Ok(Raised::Taken(advanced.saga)),
            AdvanceOutcome::Repeated(advanced) => Ok(Raised::Repeated(advanced.saga)),
            AdvanceOutcome::Rejected { rejection, advanced } => {
                let found = advanced.saga;
                Err(Error::SagaRejected {
                    saga,
                    status: found.instance.status(),
                    state: found.instance.state,
                    rejection,
                })
            }
            AdvanceOutcome::VersionMismatch { advanced } => {
                let current = advanced.saga.instance.version;
                Err(Error::SagaVersionMismatch {
                    saga,
                    expected,
                    current,
                })
            }
            AdvanceOutcome::EventIdReused { event, .. } => Err(Error::EventIdReused { saga, event }),
            AdvanceOutcome::NotFound => Err(Error::SagaNotFound(saga)),
            AdvanceOutcome::Left { .. } => unreachable!("it is tried until it has had its turn"),
        }
    }
}

/// What a caller brings without a word of why.
pub(super) fn by_someone(input: Input, expected_version: Option<u64>, actor: Option<String>) -> Request {
    Request {
        input,
        expected_version,
        actor,
        reason: None,
    }
}
