//! `POST /api/tasks/batch`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use orchestratum_core::TaskId;
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::{CreateTasks, CreatedTasks, Replay};
use orchestratum_store::BATCH_BYTES;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::TaskBody;
use super::create::idempotency;
use super::document::TaskDocument;
use crate::canonical;
use crate::extract::{IDEMPOTENT_REPLAY, IdempotencyKey, Json, Origin, bounded};
use crate::problem::{Code, Document, Problem, Result};

/// The answer to a repetition holds as much, so that what a body can ask for is always answered whole.
pub(crate) const BATCH_BODY_MAX_BYTES: usize = BATCH_BYTES;
const TASKS_MAX: usize = 1_000;

/// Tasks that stand or fall together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTasks)]
pub(crate) struct Body {
    #[serde(deserialize_with = "bounded::list::<_, _, TASKS_MAX>")]
    #[schema(min_items = 1, max_items = 1000)]
    tasks: Vec<TaskBody>,
}

/// In the order of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedTasks)]
pub(crate) struct Answer {
    tasks: Vec<TaskDocument>,
    /// With `Idempotent-Replay: true`, where the tasks have got large outputs or errors since: those that follow after
    /// 16 MiB of texts, by their ids. Read each with `GET /api/tasks/{id}`.
    #[schema(value_type = Vec<Uuid>)]
    left_out: Vec<TaskId>,
    /// Those of the tasks that were there before: one of this batch is unique and met them. They stand in its place.
    #[schema(value_type = Vec<Uuid>)]
    met: Vec<TaskId>,
}

/// Create up to 1,000 tasks
///
/// All of them or none: a fault in one, shown with its index, refuses the whole batch. One `Idempotency-Key` covers it.
#[utoipa::path(
    post, path = "/api/tasks/batch", tag = "tasks", operation_id = "create_tasks",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; kept 7 days"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the task sees it as `TRACEPARENT`"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 visible ASCII characters; the task sees it as `ORCHESTRATUM_REQUEST_ID`"),
    ),
    request_body(content = Body, example = json!({"tasks": [
        {"name": "echo", "input": 1},
        {"name": "echo", "input": 2, "labels": {"team": "billing"}}
    ]})),
    responses(
        (status = 201, description = "All are stored; with `Idempotent-Replay: true` they were stored before", body = Answer),
        (status = 410, description = "A task of this `Idempotency-Key` was deleted", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_batch(
    State(engine): State<Engine>,
    IdempotencyKey(key): IdempotencyKey,
    Origin(origin): Origin,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response> {
    if body.tasks.is_empty() || body.tasks.len() > TASKS_MAX {
        let message = format!("must have 1 to {TASKS_MAX} tasks, not {}", body.tasks.len());
        return Err(Problem::broken(Code::InvalidBody, "/tasks", message));
    }
    let mut drafts = Vec::with_capacity(body.tasks.len());
    for (index, task) in body.tasks.into_iter().enumerate() {
        let prefix = format!("/tasks/{index}");
        if task.id.is_some() {
            let message = "only POST /api/tasks takes an id; a batch is repeated with its Idempotency-Key";
            return Err(Problem::broken(Code::InvalidBody, format!("{prefix}/id"), message));
        }
        drafts.push(task.into_draft(&prefix)?);
    }
    let idempotency = key.map(|key| idempotency(key, canonical::hash("POST /api/tasks/batch", &bytes)));
    let request = CreateTasks {
        drafts,
        chosen_id: None,
        idempotency,
        indexed: true,
        origin,
    };
    let mut met = Vec::new();
    let (replayed, tasks, left_out) = match engine.create(request).await? {
        CreatedTasks::Created(tasks) => (false, tasks, Vec::new()),
        CreatedTasks::Replayed(Replay { tasks, left_out }) => (true, tasks, left_out),
        CreatedTasks::Existing(task) => (false, vec![*task], Vec::new()),
        CreatedTasks::Met {
            tasks: Replay { tasks, left_out },
            met: there,
        } => {
            met = there;
            (false, tasks, left_out)
        }
    };
    let tasks = tasks.into_iter().map(TaskDocument::from).collect();
    let answer = Answer { tasks, left_out, met };
    let mut response = (StatusCode::CREATED, axum::Json(answer)).into_response();
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
    }
    Ok(response)
}
