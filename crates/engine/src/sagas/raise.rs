//! Bringing something to one saga: events, and the base of all other calls that change one.

use orchestratum_core::saga::{Event, EventName, Input, Rejection};
use orchestratum_core::{JsonText, SagaId};
use orchestratum_store::{Advance, AdvanceOutcome, Expected, Request, Saga};

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
            id: id.unwrap_or_else(|| self.fresh_event_id()),
            name,
            data,
        };
        let expected = expected_version.map(Expected::Version);
        self.bring_event(saga, event, expected, actor).await
    }

    /// Of an event that nobody repeats.
    pub(super) fn fresh_event_id(&self) -> String {
        self.parts.clock.time_ordered().to_string()
    }

    pub(super) async fn bring_event(
        &self,
        saga: SagaId,
        event: Event,
        expected: Option<Expected>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let request = Request {
            input: Input::EventRaised(event),
            expected,
            actor,
            reason: None,
        };
        self.bring(saga, request).await.map_err(|error| match error {
            Error::SagaRejected {
                rejection: Rejection::InvalidAnswer { violations, .. },
                ..
            } => Error::Invalid(violations),
            error => error,
        })
    }

    /// Puts an input to a saga, after all that has reached it before.
    pub(super) async fn bring(&self, saga: SagaId, request: Request) -> Result<Raised, Error> {
        let expected = request.expected;
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
            AdvanceOutcome::NotThere { advanced } => Err(elsewhere(advanced.saga, expected)),
            AdvanceOutcome::EventIdReused { event, .. } => Err(Error::EventIdReused { saga, event }),
            AdvanceOutcome::NotFound => Err(Error::SagaNotFound(saga)),
            AdvanceOutcome::Left { .. } => unreachable!("it is tried until it has had its turn"),
        }
    }
}

fn elsewhere(saga: Saga, expected: Option<Expected>) -> Error {
    match expected {
        Some(Expected::Entry(_)) => Error::SagaQuestionIsOver {
            saga: saga.id,
            status: saga.instance.status(),
            state: saga.instance.state,
        },
        Some(Expected::Version(expected)) => Error::SagaVersionMismatch {
            saga: saga.id,
            expected: vec![expected],
            current: saga.instance.version,
        },
        None => unreachable!("nothing was expected of it"),
    }
}

/// What a caller brings without a word of why.
pub(super) fn by_someone(input: Input, expected_version: Option<u64>, actor: Option<String>) -> Request {
    Request {
        input,
        expected: expected_version.map(Expected::Version),
        actor,
        reason: None,
    }
}
