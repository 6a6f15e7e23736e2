//! Events that name a correlation id and no saga: they go to the live sagas that take them, or start the ones they begin.

use std::collections::BTreeSet;

use orchestratum_core::saga::{DefinitionName, Event, EventName, Rejection};
use orchestratum_core::task::Violations;
use orchestratum_core::{JsonText, Origin, SagaId};
use orchestratum_store::{Addressee, Saga};

use super::start::START;
use super::{RaiseEvent, Raised, StartSaga, StartedSaga};
use crate::{Engine, Error};

/// An event for whoever has the correlation id.
#[derive(Debug, Clone)]
pub struct PublishEvent {
    pub name: EventName,
    pub correlation_id: String,
    /// Only its sagas are meant; `None`: those of all definitions.
    pub definition: Option<DefinitionName>,
    pub data: JsonText,
    /// The same again is the same event.
    pub id: Option<String>,
    pub origin: Origin,
    pub actor: Option<String>,
}

impl PublishEvent {
    fn is_for(&self, definition: &DefinitionName) -> bool {
        self.definition.as_ref().is_none_or(|meant| meant == definition)
    }

    fn to(&self, saga: SagaId) -> RaiseEvent {
        RaiseEvent {
            saga,
            name: self.name.clone(),
            data: self.data.clone(),
            id: self.id.clone(),
            expected_version: None,
            actor: self.actor.clone(),
        }
    }

    fn starting(&self, definition: DefinitionName) -> StartSaga {
        StartSaga {
            definition,
            version: None,
            correlation_id: Some(self.correlation_id.clone()),
            input: self.data.clone(),
            origin: self.origin.clone(),
            actor: self.actor.clone(),
            idempotency: None,
        }
    }
}

/// What an event has reached. At least one saga.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    /// That took it, now or before.
    pub taken: Vec<Saga>,
    /// That it has started, now or before.
    pub started: Vec<Saga>,
}

/// The sagas with the correlation id.
#[derive(Debug, Default)]
struct Met {
    taken: Vec<Saga>,
    refused: Vec<(SagaId, Rejection)>,
    /// Of which definitions there are some that do not take it.
    known: BTreeSet<DefinitionName>,
    /// Why the first of those that cannot take it as it is does not.
    broken: Option<Error>,
}

impl Engine {
    /// Brings an event to the live sagas with its correlation id; where there are none, starts those that begin on it: all of them, or
    /// none.
    ///
    /// # Errors
    /// [`Error::EventForNobody`] where no saga has the correlation id and none begins on the event: no row is left.
    /// [`Error::EventNotTaken`] where there are sagas, and none takes it; [`Error::Invalid`] and [`Error::EventIdReused`] where one of
    /// them cannot take it as it is, and no other does. [`Error::SagaCannotStart`] where one cannot begin so: none
    /// is started then.
    pub async fn publish(&self, event: PublishEvent) -> Result<Published, Error> {
        let addressees = self.parts.store.addressees(&event.correlation_id).await?;
        let addressees = addressees
            .into_iter()
            .filter(|addressee| event.is_for(&addressee.definition));
        let met = self.meet(addressees, &event).await?;
        if !met.taken.is_empty() {
            return Ok(Published {
                taken: met.taken,
                started: Vec::new(),
            });
        }
        if let Some(broken) = met.broken {
            return Err(broken);
        }
        let mut beginning = self.parts.store.definitions_starting_on(&event.name).await?;
        // Whoever was started before by this correlation id is over, or has refused it.
        beginning.retain(|definition| event.is_for(definition) && !met.known.contains(definition));
        if !beginning.is_empty() {
            return self.begin(beginning, &event).await;
        }
        Err(self.not_published(event, met.refused).await?)
    }

    async fn meet(&self, addressees: impl Iterator<Item = Addressee>, event: &PublishEvent) -> Result<Met, Error> {
        let mut met = Met::default();
        for Addressee {
            saga,
            definition,
            status,
        } in addressees
        {
            if status.is_over() {
                met.refused.push((saga, Rejection::Over));
                met.known.insert(definition);
                continue;
            }
            match self.raise(event.to(saga)).await {
                Ok(Raised::Taken(saga) | Raised::Repeated(saga)) => met.taken.push(saga),
                Err(Error::SagaRejected { rejection, .. }) => {
                    met.refused.push((saga, rejection));
                    met.known.insert(definition);
                }
                // Others may have taken it, and that stands.
                Err(error @ (Error::Invalid(_) | Error::EventIdReused { .. })) => {
                    met.broken.get_or_insert(error);
                }
                // It was deleted meanwhile.
                Err(Error::SagaNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(met)
    }

    async fn begin(&self, definitions: Vec<DefinitionName>, event: &PublishEvent) -> Result<Published, Error> {
        if event.name.as_str() == START && event.definition.is_none() {
            let mut broken = Violations::default();
            broken.add(
                "/definition",
                format!("is missing: {START} is what POST /api/sagas raises, on which any saga may begin; name the one that is meant"),
            );
            return Err(Error::Invalid(broken));
        }
        let first = Event {
            id: event
                .id
                .clone()
                .unwrap_or_else(|| self.parts.clock.time_ordered().to_string()),
            name: event.name.clone(),
            data: event.data.clone(),
        };
        let requests = definitions.into_iter().map(|definition| event.starting(definition));
        let mut published = Published::default();
        let mut refused = Vec::new();
        for started in self.start_all_on(requests.collect(), &first).await? {
            match started {
                StartedSaga::New(saga) => published.started.push(saga),
                // Another event has started it meanwhile: this one is for it.
                StartedSaga::Existing(saga) | StartedSaga::Replayed(saga) => {
                    match self.raise(event.to(saga.id)).await {
                        Ok(raised) => published.started.push(raised.into_saga()),
                        Err(Error::SagaRejected { rejection, .. }) => refused.push((saga.id, rejection)),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        if published.started.is_empty() {
            return Err(self.not_published(event.clone(), refused).await?);
        }
        Ok(published)
    }

    /// Why it has reached nobody.
    async fn not_published(&self, event: PublishEvent, refused: Vec<(SagaId, Rejection)>) -> Result<Error, Error> {
        let PublishEvent {
            name,
            correlation_id,
            definition,
            ..
        } = event;
        if !refused.is_empty() {
            return Ok(Error::EventNotTaken {
                event: name,
                correlation_id,
                refused,
            });
        }
        if let Some(definition) = definition
            && self.parts.store.definition(&definition, None).await?.is_none()
        {
            return Ok(Error::DefinitionNotFound {
                name: definition,
                version: None,
            });
        }
        Ok(Error::EventForNobody {
            event: name,
            correlation_id,
        })
    }
}
