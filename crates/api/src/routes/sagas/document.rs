//! The saga as it is answered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use orchestratum_core::saga::{
    AwaitInput, Cause, DefinitionName, EventName, Fields, Instance, Parked, Phase, SagaStatus, StateName, Undo,
};
use orchestratum_core::task::{TaskError, TaskStatus};
use orchestratum_core::{JsonText, SagaId, TaskId, Timestamp};
use orchestratum_engine::Engine;
use orchestratum_store::{LiveSagaTask, Saga};
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
    /// The version with which it began, and to which it keeps.
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
    /// What is to be undone if it fails from here on, in the order in which that happens; and what could not be undone. The history
    /// tells what was.
    compensations: Vec<CompensationDocument>,
    /// What could not be done and waits for a decision: `POST /api/sagas/{id}/retry`, or for one of them
    /// `…/events/{event_id}/retry` or `discard`.
    parked: Vec<ParkedDocument>,
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
#[derive(Debug, Clone, Serialize, ToSchema)]
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

/// Something to be undone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Compensation)]
pub(crate) struct CompensationDocument {
    /// By which it is retried or skipped.
    number: u32,
    /// Of its task.
    #[schema(example = "refund_payment")]
    name: String,
    status: CompensationStatus,
    /// Why it could not be undone.
    #[schema(value_type = Option<schema::Error>)]
    error: Option<TaskError>,
}

/// `Stuck` waits for a decision; `Failed` was passed over, as the definition says.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) enum CompensationStatus {
    Pending,
    Running,
    Stuck,
    Failed,
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

impl From<Parked> for ParkedDocument {
    fn from(parked: Parked) -> Self {
        let Parked { number, cause, reason } = parked;
        let (id, event) = match cause {
            Cause::Event(event) => (event.id, Some(event.name)),
            Cause::Timer(_) | Cause::Task { .. } | Cause::Join { .. } | Cause::Entry { .. } => {
                (number.to_string(), None)
            }
        };
        Self {
            id,
            number,
            event,
            reason,
        }
    }
}

impl SagaDocument {
    fn new(saga: Saga, awaiting: Option<AwaitingDocument>, tasks: Vec<LiveTaskDocument>) -> Self {
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
            awaiting,
            tasks,
            compensations: compensations(&instance),
            correlation_id: instance.correlation_id,
            state: instance.state,
            input: instance.input,
            context: instance.context,
            parked: instance.parked.into_iter().map(ParkedDocument::from).collect(),
            version: instance.version,
            created_at,
            updated_at,
            finished_at,
        }
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }
}

fn compensations(instance: &Instance) -> Vec<CompensationDocument> {
    let of = |undo: &Undo, status, error| CompensationDocument {
        number: undo.number,
        name: undo.task.name.clone(),
        status,
        error,
    };
    let newest = match &instance.phase {
        Phase::Undoing { .. } => (CompensationStatus::Running, None),
        Phase::Stuck { error, .. } => (CompensationStatus::Stuck, Some(error.clone())),
        Phase::Created | Phase::Running | Phase::Ending { .. } | Phase::Settling { .. } | Phase::Ended { .. } => {
            (CompensationStatus::Pending, None)
        }
    };
    let others = std::iter::repeat((CompensationStatus::Pending, None));
    let left = instance
        .stack
        .iter()
        .rev()
        .zip(std::iter::once(newest).chain(others))
        .map(|(undo, (status, error))| of(undo, status, error));
    let failed = instance
        .not_undone
        .iter()
        .map(|(undo, error)| of(undo, CompensationStatus::Failed, Some(error.clone())));
    left.chain(failed).collect()
}

pub(super) async fn document(engine: &Engine, saga: Saga) -> Result<SagaDocument> {
    let mut documents = documents(engine, vec![saga]).await?;
    Ok(documents.pop().expect("one for each"))
}

/// What belongs to them is read for all of them together; what they ask for, once for each question.
pub(in crate::routes) async fn documents(engine: &Engine, sagas: Vec<Saga>) -> Result<Vec<SagaDocument>> {
    let mut tasks: HashMap<SagaId, Vec<LiveTaskDocument>> = HashMap::new();
    for task in engine.live_saga_tasks(&sagas).await? {
        tasks.entry(task.saga).or_default().push(task.into());
    }
    let mut questions: HashMap<(DefinitionName, u32, StateName), Option<AwaitingDocument>> = HashMap::new();
    let mut documents = Vec::with_capacity(sagas.len());
    for saga in sagas {
        let awaiting = if saga.instance.awaiting.is_none() {
            None
        } else {
            let state = saga.instance.state.clone();
            match questions.entry((saga.definition.clone(), saga.definition_version, state)) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(place) => {
                    let awaited = engine.awaiting(&saga).await?;
                    place.insert(awaited.map(AwaitingDocument::from)).clone()
                }
            }
        };
        let tasks = tasks.remove(&saga.id).unwrap_or_default();
        documents.push(SagaDocument::new(saga, awaiting, tasks));
    }
    Ok(documents)
}
