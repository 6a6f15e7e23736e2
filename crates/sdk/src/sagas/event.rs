//! Events on their way to sagas.

use orchestratum_core::saga::EventName;
use orchestratum_core::saga::builder::Event;
use orchestratum_core::{InvalidJson, JsonText};
use orchestratum_engine::given::check_event_id;
use serde::Serialize;

use super::given::{by_rule, named};
use crate::Error;

/// An event with its data, and with an id if it may be sent more than once. A reference to an [`Event`] becomes one by itself.
///
/// ```
/// use orchestratum_sdk::prelude::*;
/// use orchestratum_sdk::saga::{Event, EventEnvelope};
///
/// #[derive(Event, Serialize)]
/// struct PaymentSettledEvent {
///     amount: u64,
/// }
///
/// # async fn tell(orchestratum: Orchestratum) -> Result<(), orchestratum_sdk::Error> {
/// let event = PaymentSettledEvent { amount: 42 };
/// // However often the bank tells it, the saga takes it once.
/// let event = EventEnvelope::of(&event).id("bank-20261122-17");
/// orchestratum.sagas().publish("order-4711", event).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EventEnvelope {
    name: String,
    data: Result<JsonText, InvalidJson>,
    id: Option<String>,
}

impl EventEnvelope {
    /// An event of a type.
    pub fn of<E: Event + Serialize>(event: &E) -> Self {
        Self::named(E::NAME, event)
    }

    /// An event of which only the name is known, and what it brings.
    pub fn named<T: Serialize + ?Sized>(name: impl Into<String>, data: &T) -> Self {
        Self {
            name: name.into(),
            data: JsonText::of(data),
            id: None,
        }
    }

    /// Makes it safe to repeat: a saga takes an event of one id once.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub(super) fn checked(self) -> Result<CheckedEvent, Error> {
        if let Some(id) = &self.id {
            by_rule(check_event_id(id))?;
        }
        Ok(CheckedEvent {
            name: named("/name", EventName::new(self.name))?,
            data: named("/data", self.data)?,
            id: self.id,
        })
    }
}

impl<E: Event + Serialize> From<&E> for EventEnvelope {
    fn from(event: &E) -> Self {
        Self::of(event)
    }
}

/// An event as the server is told of it.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedEvent {
    pub(crate) name: EventName,
    pub(crate) data: JsonText,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}
