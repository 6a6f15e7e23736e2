//! `DELETE /api/tasks/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use orchestratum_engine::Engine;

use crate::auth::Caller;
use crate::extract::TaskPath;
use crate::problem::{Document, Result};

/// Delete a task that is over, with its attempts and logs
#[utoipa::path(
    delete, path = "/api/tasks/{id}", tag = "tasks", operation_id = "delete_task",
    params(("id" = uuid::Uuid, Path, description = "The task")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It is not over", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(engine): State<Engine>,
    caller: Caller,
    TaskPath(task): TaskPath,
) -> Result<StatusCode> {
    engine.delete(task, Some(caller.actor())).await?;
    Ok(StatusCode::NO_CONTENT)
}
