//! What a saga did, as its history tells it.

use orchestratum_core::saga::{EventName, StateName};
use orchestratum_store::HistoryNote;
use serde::Serialize;
use utoipa::ToSchema;

/// One thing that a saga did. What does not belong to its `event` is left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaLogEvent)]
pub(crate) struct LogDocument {
    /// `saga.created`, `saga.transition`, `saga.event_processed`, `saga.event_rejected`, `saga.event_deferred`, `saga.event_ignored`,
    /// `saga.compensation`, `saga.timeout`, `saga.parked`, `saga.parked_resolved` or `saga.parked_discarded`.
    #[schema(example = "saga.transition")]
    event: String,
    /// Of a transition; `to` may be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    from: Option<StateName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    to: Option<StateName>,
    /// The event on which a transition was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    on: Option<EventName>,
    /// Of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Of a compensation, or of what is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    /// What became of a compensation: `started`, `succeeded`, `failed`, `skipped` or `retried`.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
    /// What a timer was for: `Saga`, `After`, `DefaultAnswer` or `Reminder`.
    #[serde(skip_serializing_if = "Option::is_none")]
    timer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<HistoryNote> for LogDocument {
    fn from(note: HistoryNote) -> Self {
        Self {
            event: note.event,
            from: note.from,
            to: note.to,
            on: note.on,
            name: note.name,
            id: note.id,
            number: note.number,
            change: note.change,
            timer: note.timer,
            reason: note.reason,
        }
    }
}
