//! Events that name a correlation id and no saga: they go to the live sagas that take them, or start the ones they begin.

use orchestratum_core::saga::{EventName, Rejection};
use orchestratum_core::{JsonText, Origin};
use orchestratum_store::{Addressee, Saga};

use super::{RaiseEvent, Raised, StartSaga, StartedSaga};
use crate::{Engine, Error};

/// An event for whoever has the correlation id.
#[derive(Debug, Clone)]
pub struct PublishEvent {
    pub name: EventName,
    pub correlation_id: String,
    pub data: JsonText,
    /// The same again is the same event.
    pub id: Option<String>,
    pub origin: Origin,
    pub actor: Option<String>,
}

/// What an event has reached. At least one saga.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    /// That took it, now or before.
    pub taken: Vec<Saga>,
    /// That it has started, now or before.
    pub started: Vec<Saga>,
}

impl Engine {
    /// Brings an event to the live sagas with its correlation id; where there are none, starts those that begin on it.
    ///
    /// # Errors
    /// [`Error::EventForNobody`] where no saga has the correlation id and none begins on the event: no row is left.
    /// [`Error::EventNotTaken`] where there are sagas, and none takes it.
    pub async fn publish(&self, event: PublishEvent) -> Result<Published, Error> {
        let addressees = self.parts.store.addressees(&event.correlation_id).await?;
        let (live, over): (Vec<Addressee>, Vec<Addressee>) = addressees
            .into_iter()
            .partition(|addressee| !addressee.status.is_over());
        let mut published = Published::default();
        let mut refused: Vec<(Addressee, Rejection)> = Vec::new();
        for addressee in live {
            let raised = self
                .raise(RaiseEvent {
                    saga: addressee.saga,
                    name: event.name.clone(),
                    data: event.data.clone(),
                    id: event.id.clone(),
                    expected_version: None,
                    actor: event.actor.clone(),
                })
                .await;
            match raised {
                Ok(Raised::Taken(saga) | Raised::Repeated(saga)) => published.taken.push(saga),
                Err(Error::SagaRejected { rejection, .. }) => refused.push((addressee, rejection)),
                // It was deleted meanwhile.
                Err(Error::SagaNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if published.taken.is_empty() {
            let is_known = |name| {
                let known = over.iter().chain(refused.iter().map(|(addressee, _)| addressee));
                known.into_iter().any(|addressee| addressee.definition == name)
            };
            for definition in self.parts.store.definitions_starting_on(&event.name).await? {
                // Whoever was started before by this correlation id is over, or has refused it.
                if !is_known(definition.clone()) {
                    published.started.push(self.start_on(definition, &event).await?);
                }
            }
        }
        if !published.taken.is_empty() || !published.started.is_empty() {
            return Ok(published);
        }
        let rejections = refused
            .into_iter()
            .map(|(addressee, rejection)| (addressee.saga, rejection.to_string()));
        let ended = over
            .into_iter()
            .map(|addressee| (addressee.saga, Rejection::Over.to_string()));
        let refused: Vec<_> = rejections.chain(ended).collect();
        if refused.is_empty() {
            Err(Error::EventForNobody {
                event: event.name,
                correlation_id: event.correlation_id,
            })
        } else {
            Err(Error::EventNotTaken {
                event: event.name,
                correlation_id: event.correlation_id,
                refused,
            })
        }
    }

    async fn start_on(
        &self,
        definition: orchestratum_core::saga::DefinitionName,
        event: &PublishEvent,
    ) -> Result<Saga, Error> {
        let request = StartSaga {
            definition,
            version: None,
            correlation_id: Some(event.correlation_id.clone()),
            input: event.data.clone(),
            origin: event.origin.clone(),
            actor: event.actor.clone(),
            idempotency: None,
        };
        let first = orchestratum_core::saga::Event {
            id: event
                .id
                .clone()
                .unwrap_or_else(|| self.parts.clock.time_ordered().to_string()),
            name: event.name.clone(),
            data: event.data.clone(),
        };
        match self.start_saga_on(request, first).await? {
            StartedSaga::New(saga) => Ok(saga),
            // Another event has started it meanwhile: this one is for it.
            StartedSaga::Existing(saga) | StartedSaga::Replayed(saga) => {
                let raised = self
                    .raise(RaiseEvent {
                        saga: saga.id,
                        name: event.name.clone(),
                        data: event.data.clone(),
                        id: event.id.clone(),
                        expected_version: None,
                        actor: event.actor.clone(),
                    })
                    .await?;
                Ok(raised.into_saga())
            }
        }
    }
}
