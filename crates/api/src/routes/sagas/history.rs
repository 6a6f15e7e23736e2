//! `GET /api/sagas/{id}/history`

use axum::Json;
use axum::extract::State;
use orchestratum_core::JsonText;
use orchestratum_core::saga::{DefinitionName, StateName};
use orchestratum_core::{TaskId, Timestamp};
use orchestratum_engine::Engine;
use orchestratum_store::{HistoryEntry, IssuedTask, StartedChild};
use serde::Serialize;
use utoipa::ToSchema;

use super::log::LogDocument;
use crate::extract::{Parameters, SagaPath};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// A page of the history of a saga.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaHistory)]
pub(crate) struct HistoryDocument {
    /// In their order. Fewer than `limit` if they are large; it is the end only if `next_cursor` is `null`.
    items: Vec<EntryDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// Something that reached the saga, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaHistoryEntry)]
pub(crate) struct EntryDocument {
    /// The place in the history, from 1, without gaps.
    seq: u64,
    /// `started`, `event`, `task_ended`, `compensation_ended`, `timer`, `cancel`, `compensation_retried`, `compensation_skipped`,
    /// `parked_retried`, `parked_discarded`, `retried` or `migrated`.
    #[schema(example = "event")]
    kind: &'static str,
    /// Of the event, of the task or the compensation, or the definition of the child saga; `null` of what was issued more than a
    /// thousand entries before the page.
    #[schema(example = "approved")]
    name: Option<String>,
    /// What came of it: of a task or a compensation that ended `succeeded`, `failed`, `cancelled` or `expired`, of anything else
    /// `taken`, `deferred`, `ignored` or `parked`; of anything `refused`.
    #[schema(example = "taken")]
    outcome: &'static str,
    event_id: Option<String>,
    /// Of the task, the compensation, or what was parked.
    number: Option<u32>,
    #[schema(value_type = Option<schema::Anything>)]
    data: Option<JsonText>,
    /// How a task ended without success.
    #[schema(value_type = Option<schema::Error>)]
    error: Option<JsonText>,
    #[schema(value_type = String)]
    from: StateName,
    #[schema(value_type = String)]
    to: StateName,
    /// Of the saga, after it.
    version: u64,
    /// Why it was refused; `null` of what was taken.
    refusal: Option<String>,
    /// What the saga did then, in its order.
    log: Vec<LogDocument>,
    /// The tasks that it issued.
    tasks: Vec<IssuedDocument>,
    /// The sagas that it started.
    sagas: Vec<ChildDocument>,
    /// The numbers of the tasks and sagas that it cancelled.
    cancelled: Vec<u32>,
    /// The public id of the API key that brought it; `null` for the system itself.
    actor: Option<String>,
    #[schema(value_type = schema::Time)]
    received_at: Timestamp,
    #[schema(value_type = schema::Time)]
    processed_at: Timestamp,
}

/// A task that a saga issued.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IssuedTask)]
pub(crate) struct IssuedDocument {
    /// By which the saga knows it.
    number: u32,
    name: String,
    /// `null` if it could not be made.
    #[schema(value_type = Option<Uuid>)]
    task_id: Option<TaskId>,
    /// Whether it undoes something.
    compensation: bool,
}

/// A saga that a saga started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StartedChildSaga)]
pub(crate) struct ChildDocument {
    /// By which its parent knows it.
    number: u32,
    #[schema(value_type = String)]
    definition: DefinitionName,
    correlation_id: String,
}

impl From<IssuedTask> for IssuedDocument {
    fn from(task: IssuedTask) -> Self {
        Self {
            number: task.number,
            name: task.name,
            task_id: task.task_id,
            compensation: task.compensation,
        }
    }
}

impl From<StartedChild> for ChildDocument {
    fn from(child: StartedChild) -> Self {
        Self {
            number: child.number,
            definition: child.definition,
            correlation_id: child.correlation_id,
        }
    }
}

impl EntryDocument {
    fn of(entry: HistoryEntry) -> Self {
        let outcome = entry.outcome();
        let told = entry.told;
        Self {
            outcome,
            seq: entry.seq,
            kind: entry.kind.as_str(),
            name: entry.name,
            event_id: entry.event_id,
            number: entry.number,
            data: entry.data,
            error: entry.error,
            from: entry.from,
            to: entry.to,
            version: entry.version,
            refusal: entry.refusal,
            log: told.notes.into_iter().map(LogDocument::from).collect(),
            tasks: told.tasks.into_iter().map(IssuedDocument::from).collect(),
            sagas: told.sagas.into_iter().map(ChildDocument::from).collect(),
            cancelled: told.cancelled,
            actor: entry.actor,
            received_at: entry.received_at,
            processed_at: entry.processed_at,
        }
    }
}

/// Read what has happened to a saga
///
/// Everything that ever reached it, in the order in which it was looked at, also what was refused; and what the saga did then.
#[utoipa::path(
    get, path = "/api/sagas/{id}/history", tag = "sagas", operation_id = "read_saga_history",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = HistoryDocument),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn history(
    State(engine): State<Engine>,
    SagaPath(saga): SagaPath,
    mut parameters: Parameters,
) -> Result<Json<HistoryDocument>> {
    let limit = parameters.take_limit()?;
    let after = parameters.take("cursor", "must be the next_cursor of a page")?;
    parameters.finish(&["limit", "cursor"])?;
    let page = engine.saga_history(saga, after, limit).await?;
    Ok(Json(HistoryDocument {
        items: page.items.into_iter().map(EntryDocument::of).collect(),
        next_cursor: page.next.map(|seq| seq.to_string()),
    }))
}
