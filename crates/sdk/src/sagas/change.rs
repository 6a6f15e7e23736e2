//! Bringing something to one saga: an event, an answer, a cancel, a decision about what could not be done.

use std::collections::BTreeMap;

use orchestratum_core::saga::Fields;
use orchestratum_core::{JsonText, SagaId};
use orchestratum_engine::given::{check_id, check_reason, context_fields};
use serde::Serialize;

use super::given::{broken, by_rule, json};
use super::{CheckedEvent, EventEnvelope, Saga, Sagas};
use crate::Error;

/// A saga, whatever has happened to it (its id), or as it was when it was read ([`Saga::unchanged`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SagaAt {
    pub(crate) id: SagaId,
    pub(crate) version: Option<u64>,
}

impl From<SagaId> for SagaAt {
    fn from(id: SagaId) -> Self {
        Self { id, version: None }
    }
}

impl Saga {
    /// This saga, if nothing has happened to it since it was read. Otherwise what is brought to it is refused, with
    /// [`Error::SagaChanged`]: an answer, say, to a question that it asks no more.
    pub fn unchanged(&self) -> SagaAt {
        SagaAt {
            id: self.id,
            version: Some(self.version),
        }
    }
}

/// What is brought to a saga.
#[derive(Debug)]
pub(crate) enum Change {
    Raise(CheckedEvent),
    Answer(JsonText),
    Cancel { reason: String },
    Retry { context: Fields },
    RetryCompensation { number: u32 },
    SkipCompensation { number: u32 },
    RetryParked { parked: String },
    DiscardParked { parked: String },
}

impl Sagas {
    /// Raises an event in one saga. The answer is the saga after it, and after all that had reached it before. An event of an id that
    /// it has taken before changes nothing.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaRefused`] where its state does not take the event, with those that it takes;
    /// [`Error::SagaChanged`], [`Error::SagaInput`].
    pub async fn raise(
        &self,
        saga: impl Into<SagaAt> + Send,
        event: impl Into<EventEnvelope> + Send,
    ) -> Result<Saga, Error> {
        let event = event.into().checked()?;
        self.host.change(saga.into(), Change::Raise(event)).await
    }

    /// Answers what a saga [asks for](Saga::awaiting). The answer is held against the JSON Schema of the question, and raises the
    /// awaited event.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaInput`] with everything that the answer breaks of the schema, [`Error::SagaRefused`] where it
    /// asks nobody for anything, [`Error::SagaChanged`].
    pub async fn input<A: Serialize + Sync + ?Sized>(
        &self,
        saga: impl Into<SagaAt> + Send,
        answer: &A,
    ) -> Result<Saga, Error> {
        let answer = json("/data", answer)?;
        self.host.change(saga.into(), Change::Answer(answer)).await
    }

    /// Cancels a saga: its running tasks are cancelled, what was done is undone, newest first, and then it is `Cancelled`. To cancel
    /// it again does nothing. The reason is for whoever reads its history.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaRefused`] where it ended in another way, [`Error::SagaChanged`], [`Error::SagaInput`].
    pub async fn cancel(&self, saga: impl Into<SagaAt> + Send, reason: &str) -> Result<Saga, Error> {
        by_rule(check_reason(reason))?;
        let reason = reason.to_owned();
        self.host.change(saga.into(), Change::Cancel { reason }).await
    }

    /// Takes a saga that is `NeedsAttention` again from where it failed: what is [parked](Saga::parked), the oldest first. What fails
    /// again is parked again.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaRefused`] where it does not need attention, [`Error::SagaChanged`].
    pub async fn retry(&self, saga: impl Into<SagaAt> + Send) -> Result<Saga, Error> {
        self.retry_with(saga, &serde_json::Map::new()).await
    }

    /// The same, with fields of its context that are set before.
    ///
    /// # Errors
    /// As [`retry`](Self::retry), and [`Error::SagaInput`] where `context` is no object, or not of fields of a context.
    pub async fn retry_with<C: Serialize + Sync + ?Sized>(
        &self,
        saga: impl Into<SagaAt> + Send,
        context: &C,
    ) -> Result<Saga, Error> {
        let fields: BTreeMap<String, JsonText> = json("/context", context)?
            .parse()
            .map_err(|_| broken("/context", "must be an object, such as a struct or a map"))?;
        let context = by_rule(context_fields(fields))?;
        self.host.change(saga.into(), Change::Retry { context }).await
    }

    /// Takes one thing again that is parked, by its [id](super::Parked::id) or its number.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaRefused`] where nothing is parked under this id, [`Error::SagaChanged`], [`Error::SagaInput`].
    pub async fn retry_parked(&self, saga: impl Into<SagaAt> + Send, parked: &str) -> Result<Saga, Error> {
        let parked = parked_id(parked)?;
        self.host.change(saga.into(), Change::RetryParked { parked }).await
    }

    /// Gives up one thing that is parked.
    ///
    /// # Errors
    /// As [`retry_parked`](Self::retry_parked).
    pub async fn discard_parked(&self, saga: impl Into<SagaAt> + Send, parked: &str) -> Result<Saga, Error> {
        let parked = parked_id(parked)?;
        self.host.change(saga.into(), Change::DiscardParked { parked }).await
    }

    /// Runs a compensation again that is stuck, by its [number](super::Compensation::number).
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::SagaRefused`] where it is not the one that is stuck, [`Error::SagaChanged`].
    pub async fn retry_compensation(&self, saga: impl Into<SagaAt> + Send, number: u32) -> Result<Saga, Error> {
        let change = Change::RetryCompensation { number };
        self.host.change(saga.into(), change).await
    }

    /// Goes on without a compensation that is stuck: somebody has seen to it.
    ///
    /// # Errors
    /// As [`retry_compensation`](Self::retry_compensation).
    pub async fn skip_compensation(&self, saga: impl Into<SagaAt> + Send, number: u32) -> Result<Saga, Error> {
        let change = Change::SkipCompensation { number };
        self.host.change(saga.into(), change).await
    }
}

/// By the rule for ids of events.
fn parked_id(parked: &str) -> Result<String, Error> {
    by_rule(check_id("/parked", parked))?;
    Ok(parked.to_owned())
}
