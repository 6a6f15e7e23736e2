//! `POST /api/tasks/{id}/cancel`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use orchestratum_engine::Engine;
use orchestratum_engine::given::check_reason;
use orchestratum_engine::tasks::CancelledTask;
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::TaskDocument;
use crate::auth::Caller;
use crate::extract::{OptionalJson, TaskPath};
use crate::problem::{Document, Result};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskCancel)]
pub(crate) struct Body {
    /// For people; it becomes part of the task's error.
    #[serde(default)]
    #[schema(max_length = 2000)]
    reason: Option<String>,
}

impl Body {
    pub(crate) fn into_reason(self) -> Result<Option<String>> {
        if let Some(reason) = &self.reason {
            check_reason(reason)?;
        }
        Ok(self.reason)
    }
}

/// Cancel a task
///
/// A pending task is `Cancelled` at once, a running one when its worker has killed it. Asked for again, it changes
/// nothing, and the first reason stays. The body may be left out.
#[utoipa::path(
    post, path = "/api/tasks/{id}/cancel", tag = "tasks", operation_id = "cancel_task",
    params(("id" = uuid::Uuid, Path, description = "The task")),
    request_body(content = Option<Body>, example = json!({"reason": "no longer needed"})),
    responses(
        (status = 200, description = "It was cancelled before, or is being cancelled", body = TaskDocument, headers(("ETag" = String))),
        (status = 202, description = "The task as it is now", body = TaskDocument, headers(("ETag" = String))),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It ended in another way", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel(
    State(engine): State<Engine>,
    caller: Caller,
    TaskPath(task): TaskPath,
    OptionalJson { value: body, .. }: OptionalJson<Body>,
) -> Result<Response> {
    let reason = body.into_reason()?;
    let (status, task) = match engine.cancel(task, reason, Some(caller.actor())).await? {
        CancelledTask::Now(task) => (StatusCode::ACCEPTED, task),
        CancelledTask::Before(task) => (StatusCode::OK, task),
    };
    Ok(TaskDocument::from(task).answer(status))
}
