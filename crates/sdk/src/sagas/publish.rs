//! Events for whoever has a correlation id.

use orchestratum_core::saga::DefinitionName;
use orchestratum_engine::given::check_id;
use serde::Deserialize;

use super::given::{by_rule, named};
use super::{EventEnvelope, Saga, Sagas};
use crate::Error;

/// What an event has reached: at least one saga.
#[derive(Debug, Clone, Deserialize)]
pub struct Published {
    /// Those that took it, now or before.
    pub taken: Vec<Saga>,
    /// Those that it started, now or before.
    pub started: Vec<Saga>,
}

impl Sagas {
    /// Brings an event to the live sagas with this correlation id that take it. Where none does, it starts a saga of each definition
    /// whose initial state lists the event and that has none with this correlation id yet, of all of them or of none; the data of the event
    /// are then their input.
    ///
    /// # Errors
    /// [`Error::NoSagaForEvent`] where no saga has the correlation id and none begins on the event, [`Error::SagaRefused`] where there
    /// are sagas and none takes it.
    pub async fn publish(
        &self,
        correlation_id: &str,
        event: impl Into<EventEnvelope> + Send,
    ) -> Result<Published, Error> {
        by_rule(check_id("/correlation_id", correlation_id))?;
        let event = event.into().checked()?;
        self.host.publish(correlation_id, None, event).await
    }

    /// The same for the sagas of one definition alone. An event `start` can start a saga in this way only: any definition may begin on it.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`Error::NoDefinition`].
    pub async fn publish_to(
        &self,
        definition: &str,
        correlation_id: &str,
        event: impl Into<EventEnvelope> + Send,
    ) -> Result<Published, Error> {
        let definition = named("/definition", DefinitionName::new(definition))?;
        by_rule(check_id("/correlation_id", correlation_id))?;
        let event = event.into().checked()?;
        self.host.publish(correlation_id, Some(definition), event).await
    }
}
