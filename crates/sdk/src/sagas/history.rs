//! What has happened to a saga.

use std::sync::Arc;

use futures::FutureExt;
use orchestratum_core::{JsonText, SagaId, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::saga::unreadable;
use super::{Pages, Sagas};
use crate::{CommandId, Error, Fault};

/// Something that reached a saga, and what came of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HistoryEntry {
    /// The place in the history, from 1, without gaps.
    pub seq: u64,
    /// `started`, `event`, `task_ended`, `compensation_ended`, `timer`, `cancel`, `compensation_retried`, `compensation_skipped`,
    /// `parked_retried`, `parked_discarded` or `retried`.
    pub kind: String,
    /// Of the event, of the task or the compensation, or the definition of the child saga; `None` of what was issued more than a
    /// thousand entries before.
    pub name: Option<String>,
    /// What came of it: of a task or a compensation that ended `succeeded`, `failed`, `cancelled` or `expired`, of anything else
    /// `taken`, `deferred`, `ignored` or `parked`; of anything `refused`.
    pub outcome: String,
    pub event_id: Option<String>,
    /// Of the task, the compensation, or what was parked.
    pub number: Option<u32>,
    /// How a task ended without success.
    pub error: Option<Fault>,
    /// The names of the states before and after it.
    pub from: String,
    pub to: String,
    /// Of the saga, after it.
    pub version: u64,
    /// Why it was refused; `None` of what was taken.
    pub refusal: Option<String>,
    /// What the saga did then, in its order.
    pub log: Vec<Note>,
    /// The tasks that it issued.
    pub tasks: Vec<IssuedTask>,
    /// The sagas that it started.
    pub sagas: Vec<StartedChild>,
    /// The numbers of the tasks and sagas that it cancelled.
    pub cancelled: Vec<u32>,
    /// The public id of the API key that brought it.
    pub actor: Option<String>,
    pub received_at: Timestamp,
    pub processed_at: Timestamp,
    pub(crate) data: Option<JsonText>,
}

impl HistoryEntry {
    /// What it brought: the data of the event, the output of the task.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if they are of another shape.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let data = self.data.as_ref().map(JsonText::parse).transpose();
        data.map_err(|error| unreadable(format!("data of entry {} of the history", self.seq), &error))
    }
}

/// One thing that a saga did. What does not belong to its `event` is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Note {
    /// `saga.created`, `saga.transition`, `saga.event_processed`, `saga.event_rejected`, `saga.event_deferred`, `saga.event_ignored`,
    /// `saga.compensation`, `saga.timeout`, `saga.parked`, `saga.parked_resolved` or `saga.parked_discarded`.
    pub event: String,
    /// Of a transition; `to` may be the same.
    pub from: Option<String>,
    pub to: Option<String>,
    /// The event on which a transition was made.
    pub on: Option<String>,
    /// Of an event.
    pub name: Option<String>,
    /// Of an event.
    pub id: Option<String>,
    /// Of a compensation, or of what is parked.
    pub number: Option<u32>,
    /// What became of a compensation: `started`, `succeeded`, `failed`, `skipped` or `retried`.
    pub change: Option<String>,
    /// What a timer was for: `Saga`, `After`, `DefaultAnswer` or `Reminder`.
    pub timer: Option<String>,
    pub reason: Option<String>,
}

/// A task that a saga issued.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IssuedTask {
    /// By which the saga knows it.
    pub number: u32,
    pub name: String,
    /// `None` if it could not be made.
    #[serde(default)]
    pub task_id: Option<CommandId>,
    /// Whether it undoes something.
    #[serde(default)]
    pub compensation: bool,
}

/// A saga that a saga started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StartedChild {
    /// By which its parent knows it.
    pub number: u32,
    pub definition: String,
    pub correlation_id: String,
}

impl Sagas {
    /// Everything that ever reached a saga, oldest first, also what was refused; and what the saga did then. That there is no such
    /// saga is told when the first is asked for.
    pub fn history(&self, saga: SagaId) -> Pages<HistoryEntry> {
        let host = Arc::clone(&self.host);
        Pages::new(move |cursor| {
            let host = Arc::clone(&host);
            async move { host.saga_history(saga, cursor).await }.boxed()
        })
    }
}
