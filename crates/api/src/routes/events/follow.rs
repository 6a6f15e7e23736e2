//! `GET /api/events`

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{SagaId, Target, TaskName};
use orchestratum_engine::Engine;
use orchestratum_engine::changes::{
    Change, ChangeFilter, ChangeFollower, ChangeId, FollowedChanges, SagaChanges, TaskChanges, What,
};
use orchestratum_engine::keys::Scope;
use orchestratum_store::{SagaOverview, TaskOverview};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::extract::{LastChangeId, Parameters};
use crate::problem::{Code, Problem, Result};
use crate::routes::schema;
use crate::routes::stream::{COME_AGAIN_AFTER, HEARTBEAT_EVERY, event};

const PARAMETERS: [&str; 8] = [
    "kind",
    "status",
    "name",
    "target",
    "saga_id",
    "definition",
    "state",
    "correlation_id",
];

/// The data of an event `task`: how the task stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskChanged)]
pub(crate) struct TaskChanged {
    #[schema(value_type = Uuid)]
    id: Uuid,
    #[schema(value_type = String)]
    name: TaskName,
    #[schema(value_type = String)]
    target: Target,
    #[schema(value_type = schema::Status)]
    status: TaskStatus,
    run: u32,
    attempt: u32,
    saga_id: Option<Uuid>,
    version: u32,
}

/// The data of an event `saga`: how the saga stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaChanged)]
pub(crate) struct SagaChanged {
    id: Uuid,
    #[schema(value_type = String)]
    definition: DefinitionName,
    correlation_id: String,
    #[schema(value_type = schema::SagaStatus)]
    status: SagaStatus,
    #[schema(value_type = String)]
    state: StateName,
    version: u64,
}

/// The data of an event `task` or `saga`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Changed)]
pub(crate) enum Changed {
    Task(TaskChanged),
    Saga(SagaChanged),
}

/// The data of the other events.
#[derive(Debug, Serialize)]
struct Nothing {}

/// Follow changes of tasks and sagas
///
/// Server-sent events: `task` and `saga`, each with how it stands now and an `id`. What changes several times in a moment may be told
/// once. The first event is `ready`: from there on nothing is missed. A stream that ended goes on behind the last `id` that is sent as
/// `Last-Event-ID`, as long as it is among the last 10,000 changes that this server has told (each server has its own ids, and tells the changes of all); otherwise the first event is `reset`, which also
/// comes when changes were lost on the way: read again what matters to you. All given conditions must hold; those that only tasks
/// have leave out sagas, and the other way round. Changes of tasks need the scope `tasks:read`, those of sagas `sagas:read`: a key with
/// one of them is told of that kind alone, unless it asks for the other. No connection lasts for more than `api.max_follow_seconds`,
/// nor longer than its key is valid.
#[utoipa::path(
    get, path = "/api/events", tag = "operations", operation_id = "follow_changes",
    params(
        ("kind" = Option<String>, Query, description = "`task` or `saga`; if not given, both, as far as the key may read them"),
        ("status" = Option<String>, Query, description = "Of the task or the saga"),
        ("name" = Option<String>, Query, description = "Of tasks"),
        ("target" = Option<String>, Query, description = "Of tasks"),
        ("saga_id" = Option<Uuid>, Query, description = "Tasks that this saga issued"),
        ("definition" = Option<String>, Query, description = "Of sagas"),
        ("state" = Option<String>, Query, description = "Of sagas"),
        ("correlation_id" = Option<String>, Query, description = "Of sagas"),
        ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event"),
    ),
    responses((status = 200, description = "The events", content(
        (Changed = "text/event-stream"),
    )))
)]
pub(crate) async fn follow(
    State(engine): State<Engine>,
    caller: Caller,
    LastChangeId(behind): LastChangeId,
    parameters: Parameters,
) -> Result<Response> {
    let wanted = Wanted::of(parameters)?;
    let identity = caller.identity();
    let filter = wanted.filter(identity.may(Scope::TasksRead), identity.may(Scope::SagasRead))?;
    let follower = engine.follow_changes(identity, filter, behind)?;
    let retry = Event::default().retry(COME_AGAIN_AFTER);
    let events = stream::iter([retry]).chain(told(follower));
    Ok(Sse::new(events.map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT_EVERY))
        .into_response())
}

/// What comes next is looked up when the client has taken what came before.
fn told(follower: ChangeFollower) -> impl Stream<Item = Event> {
    let batches = stream::unfold(follower, async |mut follower| {
        let batch = match follower.next().await? {
            FollowedChanges::Ready(place) => vec![placed("ready", &Nothing {}, place)],
            FollowedChanges::Reset(place) => vec![placed("reset", &Nothing {}, place)],
            FollowedChanges::Changed(changes) => changes.iter().map(changed).collect(),
        };
        Some((batch, follower))
    });
    batches.flat_map(stream::iter)
}

fn changed(change: &Arc<Change>) -> Event {
    match &change.what {
        What::Task(task) => placed("task", &Changed::Task(task.into()), change.id),
        What::Saga(saga) => placed("saga", &Changed::Saga(saga.into()), change.id),
    }
}

fn placed(name: &str, data: &impl Serialize, place: ChangeId) -> Event {
    event(name, data).id(place.to_string())
}

impl From<&TaskOverview> for TaskChanged {
    fn from(task: &TaskOverview) -> Self {
        Self {
            id: task.task.0,
            name: task.name.clone(),
            target: task.target.clone(),
            status: task.status,
            run: task.run,
            attempt: task.attempt,
            saga_id: task.saga.map(|saga| saga.0),
            version: task.version,
        }
    }
}

impl From<&SagaOverview> for SagaChanged {
    fn from(saga: &SagaOverview) -> Self {
        Self {
            id: saga.saga.0,
            definition: saga.definition.clone(),
            correlation_id: saga.correlation_id.clone(),
            status: saga.status,
            state: saga.state.clone(),
            version: saga.version,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Task,
    Saga,
}

/// What the query says.
#[derive(Debug)]
struct Wanted {
    kind: Option<Kind>,
    status: Option<String>,
    tasks: TaskChanges,
    sagas: SagaChanges,
}

impl Wanted {
    fn of(mut parameters: Parameters) -> Result<Self> {
        let kind = match parameters.take::<String>("kind", "")?.as_deref() {
            None => None,
            Some("task") => Some(Kind::Task),
            Some("saga") => Some(Kind::Saga),
            Some(other) => {
                let rule = format!("must be task or saga, not {other:?}");
                return Err(Problem::broken(Code::InvalidQuery, "/kind", rule));
            }
        };
        let wanted = Self {
            kind,
            status: parameters.take("status", "must be a text")?,
            tasks: TaskChanges {
                status: None,
                name: parameters.take_strict("name")?,
                target: parameters.take_strict("target")?,
                saga: parameters.take::<Uuid>("saga_id", "must be a UUID")?.map(SagaId),
            },
            sagas: SagaChanges {
                status: None,
                definition: parameters.take_strict("definition")?,
                state: parameters.take_strict("state")?,
                correlation_id: parameters.take("correlation_id", "must be a text")?,
            },
        };
        parameters.finish(&PARAMETERS)?;
        Ok(wanted)
    }

    /// What is left of it when all of it must hold. What can never be met is told.
    fn filter(self, may_read_tasks: bool, may_read_sagas: bool) -> Result<ChangeFilter> {
        let tells_tasks = self.kind != Some(Kind::Saga) && self.sagas == SagaChanges::default();
        let tells_sagas = self.kind != Some(Kind::Task) && self.tasks == TaskChanges::default();
        if !tells_tasks && !tells_sagas {
            let rule = "name, target and saga_id are conditions of tasks; definition, state and correlation_id are those of sagas: \
                        nothing meets both";
            return Err(Problem::new(Code::InvalidQuery, rule));
        }
        for (tells_others, may_read, kind, scope) in [
            (tells_sagas, may_read_tasks, "tasks", Scope::TasksRead),
            (tells_tasks, may_read_sagas, "sagas", Scope::SagasRead),
        ] {
            if !tells_others && !may_read {
                let detail = format!("changes of {kind} need the scope {scope}");
                return Err(Problem::new(Code::MissingScope, detail));
            }
        }
        let tasks = tells_tasks.then(|| self.status.as_deref().map(str::parse::<TaskStatus>).transpose());
        let sagas = tells_sagas.then(|| self.status.as_deref().map(str::parse::<SagaStatus>).transpose());
        let rules: Vec<String> = match (&tasks, &sagas) {
            (Some(Ok(_)), _) | (_, Some(Ok(_))) => Vec::new(),
            (tasks, sagas) => {
                let of_tasks = tasks
                    .iter()
                    .filter_map(|wanted| Some(wanted.as_ref().err()?.to_string()));
                let of_sagas = sagas
                    .iter()
                    .filter_map(|wanted| Some(wanted.as_ref().err()?.to_string()));
                of_tasks.chain(of_sagas).collect()
            }
        };
        if !rules.is_empty() {
            return Err(Problem::broken(
                Code::InvalidQuery,
                "/status",
                rules.join("; or of a saga "),
            ));
        }
        // A status that only the other kind has leaves this one out.
        let tasks = tasks.and_then(Result::ok).filter(|_| may_read_tasks);
        let sagas = sagas.and_then(Result::ok).filter(|_| may_read_sagas);
        Ok(ChangeFilter {
            tasks: tasks.map(|status| TaskChanges { status, ..self.tasks }),
            sagas: sagas.map(|status| SagaChanges { status, ..self.sagas }),
        })
    }
}
