//! Events that name a correlation id and no saga: they go to the live sagas that take them, or start the ones they begin.

use std::collections::BTreeSet;

use orchestratum_core::saga::{DefinitionName, Event, EventName, Rejection};
use orchestratum_core::task::Violations;
use orchestratum_core::{JsonText, Origin, SagaId};
use orchestratum_store::{Addressee, Saga};

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

/// The data of the event are the input of what it starts.
fn of_the_event(error: Error) -> Error {
    match error {
        Error::SagaCannotStart {
            definition,
            rejection: Rejection::CannotStart { reason, mut broken },
        } => {
            for violation in &mut broken.0 {
                if let Some(rest) = violation.pointer.strip_prefix("/input") {
                    violation.pointer = format!("/data{rest}");
                }
            }
            let rejection = Rejection::CannotStart { reason, broken };
            Error::SagaCannotStart { definition, rejection }
        }
        error => error,
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
    started: Vec<Saga>,
    refused: Vec<(SagaId, Rejection)>,
    /// Of which definitions there are some that do not take it.
    known: BTreeSet<DefinitionName>,
    /// Why the first of those that cannot take it as it is does not.
    broken: Option<Error>,
}

fn addressee(saga: Saga) -> Addressee {
    Addressee {
        saga: saga.id,
        status: saga.instance.status(),
        definition: saga.definition,
    }
}

impl Engine {
    /// Brings an event to the live sagas with its correlation id; where there are none, starts those that begin on it: all of them, or
    /// none. One that is over is asked only whether it has taken the event before.
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
        let mut met = Met::default();
        self.meet(addressees, &event, &mut met).await?;
        if met.taken.is_empty() && met.broken.is_none() {
            self.begin(&event, &mut met).await?;
        }
        if !met.taken.is_empty() || !met.started.is_empty() {
            return Ok(Published {
                taken: met.taken,
                started: met.started,
            });
        }
        match met.broken {
            Some(broken) => Err(broken),
            None => Err(self.not_published(event, met.refused).await?),
        }
    }

    async fn meet(
        &self,
        addressees: impl IntoIterator<Item = Addressee>,
        event: &PublishEvent,
        met: &mut Met,
    ) -> Result<(), Error> {
        for Addressee {
            saga,
            definition,
            status,
        } in addressees
        {
            // Without an id it cannot have been there before.
            if status.is_over() && event.id.is_none() {
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
        Ok(())
    }

    /// Starts what begins on the event. Whoever was started before by this correlation id is over, or has refused it; a saga that
    /// another event starts at the same moment is met as if it had been there.
    async fn begin(&self, event: &PublishEvent, met: &mut Met) -> Result<(), Error> {
        let mut beginning = self.parts.store.definitions_starting_on(&event.name).await?;
        beginning.retain(|definition| event.is_for(definition) && !met.known.contains(definition));
        if beginning.is_empty() {
            return Ok(());
        }
        if event.name.as_str() == Event::START && event.definition.is_none() {
            let mut broken = Violations::default();
            let start = Event::START;
            broken.add(
                "/definition",
                format!("is missing: {start} is what POST /api/sagas raises, on which any saga may begin; name the one that is meant"),
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
        // Each time round there are fewer.
        while !beginning.is_empty() {
            let requests = beginning.iter().map(|definition| event.starting(definition.clone()));
            let (mut there, mut cannot_start) = (Vec::new(), None);
            for started in self.start_all_on(requests.collect(), &first).await? {
                match started {
                    Ok(StartedSaga::New(saga)) => met.started.push(saga),
                    Ok(StartedSaga::Existing(saga) | StartedSaga::Replayed(saga)) => there.push(saga),
                    Err(error) => cannot_start = cannot_start.or(Some(of_the_event(error))),
                }
            }
            beginning.retain(|definition| there.iter().all(|saga| saga.definition != *definition));
            let is_nobody_there = there.is_empty();
            self.meet(there.into_iter().map(addressee), event, met).await?;
            match cannot_start {
                // None was started, as one cannot. Without those that are there it may not be asked to.
                Some(error) if is_nobody_there => return Err(error),
                Some(_) if met.taken.is_empty() && met.broken.is_none() => {}
                Some(_) | None => return Ok(()),
            }
        }
        Ok(())
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
