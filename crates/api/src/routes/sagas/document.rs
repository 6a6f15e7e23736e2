//! The saga as it is answered.

use orchestratum_core::saga::{
    AwaitInput, Compensation, CompensationStatus, DefinitionName, Event, EventName, Fields, Parked, SagaStatus,
    StateName, TimerKind,
};
use orchestratum_core::task::{TaskError, TaskStatus};
use orchestratum_core::{JsonText, SagaId, TaskId, Timestamp};
use orchestratum_engine::Engine;
use orchestratum_engine::sagas::{DueTimer, SagaDetails};
use orchestratum_store::{LiveChild, LiveSagaTask, Saga};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Result;
use crate::routes::schema;

/// A saga: what it was started with, and where it stands. Every field is always there; what is not known is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Saga)]
pub(crate) struct SagaDocument {
    #[schema(value_type = Uuid)]
    id: SagaId,
    #[schema(value_type = String, example = "order")]
    definition: DefinitionName,
    /// The version with which it began, or to which it was moved since.
    definition_version: u32,
    /// By which its callers know it; its own id, if they gave none.
    correlation_id: String,
    /// The saga that started it.
    #[schema(value_type = Option<Uuid>)]
    parent_id: Option<SagaId>,
    #[schema(value_type = schema::SagaStatus)]
    status: SagaStatus,
    #[schema(value_type = String, example = "AwaitingPayment")]
    state: StateName,
    #[schema(value_type = schema::Anything)]
    input: JsonText,
    #[schema(value_type = schema::Anything)]
    context: Fields,
    /// What it asks somebody for: answer with `POST /api/sagas/{id}/input`.
    awaiting: Option<AwaitingDocument>,
    /// Its tasks that are not over; of very many, the first hundred.
    tasks: Vec<LiveTaskDocument>,
    /// Its child sagas that are not over; of very many, the first hundred.
    sagas: Vec<LiveChildDocument>,
    /// What is to be undone if it fails from here on, in the order in which that happens; and what could not be undone. The history
    /// tells what was.
    compensations: Vec<CompensationDocument>,
    /// What could not be done and waits for a decision: `POST /api/sagas/{id}/retry`, or for one of them
    /// `…/events/{event_id}/retry` or `discard`.
    parked: Vec<ParkedDocument>,
    /// Events that came too early and wait for a state that takes them, the oldest first (`unhandled: defer`).
    deferred: Vec<DeferredDocument>,
    /// What will happen to it by itself and when, in that order; of very much, the first hundred. Where one saga is read, with
    /// `GET /api/sagas/{id}`; `null` in lists and in the answers of other calls.
    timers: Option<Vec<TimerDocument>>,
    /// How much has happened to it; the `ETag`.
    version: u64,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    /// When something happened to it last.
    #[schema(value_type = schema::Time)]
    updated_at: Timestamp,
    #[schema(value_type = Option<schema::Time>)]
    finished_at: Option<Timestamp>,
}

/// A question to a person, or a service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AwaitedInput)]
pub(crate) struct AwaitingDocument {
    /// What the answer raises.
    #[schema(value_type = String, example = "approved")]
    event: EventName,
    #[schema(example = "Approve the shipment?")]
    prompt: String,
    /// The JSON Schema of the answer.
    #[schema(value_type = Option<schema::Anything>)]
    schema: Option<JsonText>,
}

impl From<AwaitInput> for AwaitingDocument {
    fn from(awaited: AwaitInput) -> Self {
        Self {
            event: awaited.event,
            prompt: awaited.prompt,
            schema: awaited.schema,
        }
    }
}

/// A task of a saga that is not over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveTaskOfSaga)]
pub(crate) struct LiveTaskDocument {
    /// By which the saga knows it.
    number: u32,
    #[schema(value_type = Uuid)]
    id: TaskId,
    #[schema(example = "process_payment")]
    name: String,
    target: String,
    #[schema(value_type = schema::Status)]
    status: TaskStatus,
    /// Whether it undoes something.
    compensation: bool,
}

impl From<LiveSagaTask> for LiveTaskDocument {
    fn from(task: LiveSagaTask) -> Self {
        Self {
            number: task.number,
            id: task.task,
            name: task.name.to_string(),
            target: task.target.to_string(),
            status: task.status,
            compensation: task.undoes,
        }
    }
}

/// A child of a saga that is not over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveChildOfSaga)]
pub(crate) struct LiveChildDocument {
    /// By which the saga knows it.
    number: u32,
    #[schema(value_type = Uuid)]
    id: SagaId,
    #[schema(value_type = String, example = "shipping")]
    definition: DefinitionName,
    correlation_id: String,
    #[schema(value_type = schema::SagaStatus)]
    status: SagaStatus,
    #[schema(value_type = String, example = "AwaitingCarrier")]
    state: StateName,
}

impl From<LiveChild> for LiveChildDocument {
    fn from(child: LiveChild) -> Self {
        let LiveChild { number, overview, .. } = child;
        Self {
            number,
            id: overview.saga,
            definition: overview.definition,
            correlation_id: overview.correlation_id,
            status: overview.status,
            state: overview.state,
        }
    }
}

/// Something to be undone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Compensation)]
pub(crate) struct CompensationDocument {
    /// By which it is retried or skipped.
    number: u32,
    /// Of its task.
    #[schema(example = "refund_payment")]
    name: String,
    #[schema(value_type = schema::CompensationStatus)]
    status: CompensationStatus,
    /// Why it could not be undone.
    #[schema(value_type = Option<schema::Error>)]
    error: Option<TaskError>,
}

/// Something that could not be done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParkedOfSaga)]
pub(crate) struct ParkedDocument {
    /// The id of the event; of anything else its number.
    id: String,
    number: u32,
    /// The event, if it is one.
    #[schema(value_type = Option<String>)]
    event: Option<EventName>,
    #[schema(example = "the guard \"event.data.ok\" cannot be decided: no such key: ok")]
    reason: String,
}

impl From<&Parked> for ParkedDocument {
    fn from(parked: &Parked) -> Self {
        Self {
            id: parked.id(),
            number: parked.number,
            event: parked.event().cloned(),
            reason: parked.reason.clone(),
        }
    }
}

/// An event that waits for a state that takes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeferredEvent)]
pub(crate) struct DeferredDocument {
    id: String,
    #[schema(value_type = String, example = "payment_settled")]
    event: EventName,
}

impl From<&Event> for DeferredDocument {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id.clone(),
            event: event.name.clone(),
        }
    }
}

/// Something that is due. What does not belong to its `timer` is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimerOfSaga)]
pub(crate) struct TimerDocument {
    /// `Saga`: its `timeout`; of its state `After`, the `DefaultAnswer` to its question, or a `Reminder` of that.
    #[schema(value_type = String, example = "After")]
    timer: TimerKind,
    #[schema(value_type = schema::Time)]
    due_at: Timestamp,
    /// The state that is entered.
    #[schema(value_type = Option<String>, example = "Failed")]
    target: Option<StateName>,
    /// Whether all is undone first.
    compensate: bool,
    /// What must hold then for the transition to be taken.
    #[serde(rename = "if")]
    guard: Option<String>,
    /// The event that is raised.
    #[schema(value_type = Option<String>, example = "approved")]
    event: Option<EventName>,
    /// Of the answer that is given.
    #[schema(value_type = Option<schema::Anything>)]
    data: Option<JsonText>,
}

impl From<DueTimer> for TimerDocument {
    fn from(DueTimer { kind, due_at, does }: DueTimer) -> Self {
        Self {
            timer: kind,
            due_at,
            target: does.target().cloned(),
            compensate: does.compensates(),
            guard: does.guard().map(str::to_owned),
            event: does.event().cloned(),
            data: does.data().cloned(),
        }
    }
}

impl From<Compensation<'_>> for CompensationDocument {
    fn from(Compensation { undo, status, error }: Compensation<'_>) -> Self {
        Self {
            number: undo.number,
            name: undo.task.name.clone(),
            status,
            error: error.cloned(),
        }
    }
}

impl From<SagaDetails> for SagaDocument {
    fn from(details: SagaDetails) -> Self {
        let SagaDetails {
            saga,
            awaiting,
            tasks,
            children,
            timers,
        } = details;
        let Saga {
            id,
            definition,
            definition_version,
            parent,
            instance,
            created_at,
            updated_at,
            finished_at,
        } = saga;
        Self {
            id,
            definition,
            definition_version,
            parent_id: parent,
            status: instance.status(),
            awaiting: awaiting.map(AwaitingDocument::from),
            tasks: tasks.into_iter().map(LiveTaskDocument::from).collect(),
            sagas: children.into_iter().map(LiveChildDocument::from).collect(),
            compensations: instance.to_undo().into_iter().map(CompensationDocument::from).collect(),
            parked: instance.parked.iter().map(ParkedDocument::from).collect(),
            deferred: instance.deferred.iter().map(DeferredDocument::from).collect(),
            timers: timers.map(|timers| timers.into_iter().map(TimerDocument::from).collect()),
            correlation_id: instance.correlation_id,
            state: instance.state,
            input: instance.input,
            context: instance.context,
            version: instance.version,
            created_at,
            updated_at,
            finished_at,
        }
    }
}

impl SagaDocument {
    pub(super) const fn version(&self) -> u64 {
        self.version
    }
}

pub(super) async fn document(engine: &Engine, saga: Saga) -> Result<SagaDocument> {
    let mut documents = documents(engine, vec![saga]).await?;
    Ok(documents.pop().expect("one for each"))
}

pub(in crate::routes) async fn documents(engine: &Engine, sagas: Vec<Saga>) -> Result<Vec<SagaDocument>> {
    let details = engine.saga_details(sagas).await?;
    Ok(details.into_iter().map(SagaDocument::from).collect())
}
