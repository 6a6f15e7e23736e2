//! `POST /api/tasks/{id}/retry`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use orchestratum_core::JsonText;
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::RetryTask;
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::TaskDocument;
use super::limits::{self, LimitsPatch};
use super::patch::given;
use crate::auth::Caller;
use crate::extract::{OptionalJson, TaskPath};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// What the new run does differently; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskRetry)]
#[expect(clippy::option_option, reason = "absent and null are two things here")]
pub(crate) struct Body {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = schema::Anything)]
    input: Option<JsonText>,
    #[serde(default, deserialize_with = "given")]
    target: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 0.001)]
    ttl_seconds: Option<f64>,
    /// `null` removes the limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0.001)]
    timeout_seconds: Option<Option<f64>>,
    /// Merged limit by limit; `null` for one removes it, `null` for all removes all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LimitsPatch>)]
    limits: Option<Option<LimitsPatch>>,
}

/// Run a task again
///
/// A task that is `Failed`, `Expired` or `Cancelled` becomes `Pending` again as a new run, with its time-to-live and its
/// retries renewed. The body may be left out.
#[utoipa::path(
    post, path = "/api/tasks/{id}/retry", tag = "tasks", operation_id = "retry_task",
    params(("id" = uuid::Uuid, Path, description = "The task")),
    request_body(content = Option<Body>, example = json!({"ttl_seconds": 60, "limits": {"memory_mb": 512}})),
    responses(
        (status = 202, description = "The task as a new run", body = TaskDocument, headers(("ETag" = String))),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It is not Failed, Expired or Cancelled", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry(
    State(engine): State<Engine>,
    caller: Caller,
    TaskPath(task): TaskPath,
    OptionalJson { value: body, .. }: OptionalJson<Body>,
) -> Result<Response> {
    let Body {
        input,
        target,
        ttl_seconds,
        timeout_seconds,
        limits,
    } = body;
    let limits = match limits {
        None => None,
        // What is over stays as it is until another retry, after which this one is refused.
        Some(change) => Some(limits::merged(engine.task(task).await?.spec.limits.as_ref(), change)?),
    };
    let edit = RetryTask {
        input,
        target,
        ttl_seconds,
        timeout_seconds,
        limits,
    };
    let task = engine.retry(task, edit, Some(caller.actor())).await?;
    Ok(TaskDocument::from(task).answer(StatusCode::ACCEPTED))
}
