//! `GET /api/tasks/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use orchestratum_engine::Engine;

use super::document::TaskDocument;
use crate::extract::{TaskPath, Wait};
use crate::problem::{Document, Result};

/// Read a task
///
/// With `wait_seconds` (or `Prefer: wait=N`) the answer is held until the task is over, or the time has passed.
#[utoipa::path(
    get, path = "/api/tasks/{id}", tag = "tasks", operation_id = "read_task",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("wait_seconds" = Option<f64>, Query, description = "From 0; longer than `api.max_wait_seconds` counts as that", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
    ),
    responses(
        (status = 200, description = "The task", body = TaskDocument, headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(State(engine): State<Engine>, TaskPath(task): TaskPath, wait: Wait) -> Result<Response> {
    let found = match wait.patience {
        Some(patience) => engine.wait(task, patience).await?,
        None => engine.task(task).await?,
    };
    let mut response = TaskDocument::from(found).answer(StatusCode::OK);
    wait.note(response.headers_mut());
    Ok(response)
}
