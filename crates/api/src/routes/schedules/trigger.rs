//! `POST /api/schedules/{id}/trigger`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use orchestratum_engine::tasks::{CreatedTasks, Replay};
use orchestratum_engine::{Engine, Error};
use orchestratum_store::Task;
use tracing::Span;

use crate::canonical;
use crate::extract::{IDEMPOTENT_REPLAY, IdempotencyKey, Origin, SchedulePath, UNIQUE_CONFLICT};
use crate::problem::{Document, Result};
use crate::routes::tasks::{TaskDocument, idempotency};

/// Run a schedule now
///
/// Makes its task at once, whatever the overlap policy says and also while the schedule is paused. Its slots come as before;
/// while the task is not over they see it as one of the schedule. Repeat a request whose answer got lost with the same
/// `Idempotency-Key`: it makes no second task.
#[utoipa::path(
    post, path = "/api/schedules/{id}/trigger", tag = "schedules", operation_id = "trigger_schedule",
    params(
        ("id" = uuid::Uuid, Path, description = "The schedule"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; kept 7 days"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the task sees it as `TRACEPARENT`"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 visible ASCII characters; the task sees it as `ORCHESTRATUM_REQUEST_ID`"),
    ),
    responses(
        (status = 201, description = "The task; with `Idempotent-Replay: true` it was made before", body = TaskDocument,
         headers(("Location" = String), ("ETag" = String), ("Idempotent-Replay" = Option<String>))),
        (status = 200, description = "With `Unique-Conflict: true`: its task is to be unique, and this one like it is there", body = TaskDocument),
        (status = 404, description = "No such schedule", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Its task breaks a rule, with the values of now", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "The task of this `Idempotency-Key` was deleted", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn trigger(
    State(engine): State<Engine>,
    SchedulePath(schedule): SchedulePath,
    IdempotencyKey(key): IdempotencyKey,
    Origin(origin): Origin,
) -> Result<Response> {
    let call = format!("POST /api/schedules/{schedule}/trigger");
    let idempotency = key.map(|key| idempotency(key, canonical::hash(&call, b"")));
    let created = |told, tasks: Vec<Task>| (StatusCode::CREATED, told, tasks.into_iter().next());
    let (status, told, task) = match engine.trigger_schedule(schedule, idempotency, origin).await? {
        CreatedTasks::Created(tasks) => created(None, tasks),
        CreatedTasks::Replayed(Replay { tasks, .. }) => created(Some(IDEMPOTENT_REPLAY), tasks),
        CreatedTasks::Existing(task) => (StatusCode::OK, None, Some(*task)),
        CreatedTasks::Met {
            tasks: Replay { tasks, left_out },
            ..
        } => {
            // It was deleted at this very moment.
            if let Some(gone) = left_out.first() {
                return Err(Error::TaskNotFound(*gone).into());
            }
            (StatusCode::OK, Some(UNIQUE_CONFLICT), tasks.into_iter().next())
        }
    };
    let task = task.expect("a trigger makes one task");
    Span::current().record("task.id", tracing::field::display(task.spec.id));
    let document = TaskDocument::from(task);
    let location = document.location();
    let mut response = document.answer(status);
    response.headers_mut().insert(header::LOCATION, location);
    if let Some(told) = told {
        response.headers_mut().insert(told, HeaderValue::from_static("true"));
    }
    Ok(response)
}
