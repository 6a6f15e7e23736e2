//! What a saga did, as its history tells it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that a saga did. What does not belong to its `event` is left out.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = SagaLogEvent)]
pub(crate) struct LogDocument {
    /// `saga.created`, `saga.transition`, `saga.event_processed`, `saga.event_rejected`, `saga.event_deferred`, `saga.event_ignored`,
    /// `saga.compensation`, `saga.timeout`, `saga.parked`, `saga.parked_resolved` or `saga.parked_discarded`.
    #[schema(example = "saga.transition")]
    event: String,
    /// Of a transition; `to` may be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// The event on which a transition was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<String>,
    /// Of an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Of a compensation, or of what is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    /// What became of a compensation: `started`, `succeeded`, `failed`, `skipped` or `retried`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<String>,
    /// What a timer was for: `Saga`, `After`, `DefaultAnswer` or `Reminder`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl LogDocument {
    /// Of whatever was not taken.
    pub(super) fn refused(reason: String) -> Self {
        Self {
            event: "saga.event_rejected".to_owned(),
            reason: Some(reason),
            ..Self::default()
        }
    }
}
