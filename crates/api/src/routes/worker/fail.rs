//! `POST /api/worker/tasks/{id}/attempts/{attempt}/fail`

use axum::extract::State;
use orchestratum_core::task::ErrorKind;
use orchestratum_engine::Engine;
use orchestratum_engine::external::{AttemptEnd, Beside};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Ended, told};
use crate::auth::Caller;
use crate::extract::{AttemptPath, Json};
use crate::problem::{Document, Result};

/// The attempt did not succeed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerFailure)]
pub(crate) struct Failure {
    error: FailureError,
    /// Whether it may go better the next time, as far as the task has retries. `false` only with the kind `Failed`.
    #[serde(default)]
    #[schema(default = true)]
    retryable: Option<bool>,
    /// How far it came, a share from 0 to 1. What is left out stays as a heartbeat said.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    progress: Option<f64>,
    /// What it wrote, for `GET /api/tasks/{id}/logs`: at most 256 KiB.
    #[serde(default)]
    #[schema(max_length = 262_144)]
    log: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerFailureError)]
pub(crate) struct FailureError {
    /// `Failed`, `TimedOut`, `NotFound` or `OutOfMemory` use a retry; with `Cancelled` the task is `Cancelled`.
    #[serde(default)]
    #[schema(default = "Failed")]
    kind: FailureKind,
    /// For a person: at most 64 KiB.
    #[schema(max_length = 65536)]
    message: String,
    /// For a program that decides by it: the task has it as `error.code`, and the event of its saga as `data.code`. Only with the kind
    /// `Failed`.
    #[serde(default)]
    #[schema(pattern = "^[a-z][a-z0-9_]*$", max_length = 64, example = "no_such_order")]
    code: Option<String>,
}

/// What kind of error an attempt can be told to have failed with.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[schema(as = WorkerFailureKind)]
enum FailureKind {
    #[default]
    Failed,
    TimedOut,
    NotFound,
    OutOfMemory,
    Cancelled,
}

impl From<FailureKind> for ErrorKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Failed => Self::Failed,
            FailureKind::TimedOut => Self::TimedOut,
            FailureKind::NotFound => Self::NotFound,
            FailureKind::OutOfMemory => Self::OutOfMemory,
            FailureKind::Cancelled => Self::Cancelled,
        }
    }
}

/// Report a failure
#[utoipa::path(
    post, path = "/api/worker/tasks/{id}/attempts/{attempt}/fail", tag = "worker", operation_id = "fail_claimed_task",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("attempt" = u32, Path, description = "The attempt that was claimed"),
    ),
    request_body(content = Failure, examples(
        ("retry" = (summary = "It may go better the next time", value = json!({"error": {"message": "the mail server is away"}}))),
        ("permanent" = (summary = "It will not", value = json!({"error": {"message": "no such order", "code": "no_such_order"}, "retryable": false}))),
        ("cancelled" = (summary = "It was stopped on request", value = json!({"error": {"kind": "Cancelled", "message": "stopped"}}))),
    )),
    responses(
        (status = 200, description = "Recorded, now or by the same report before", body = Ended),
        (status = 404, description = "No such task or attempt", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "The attempt ended in another way", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn fail(
    State(engine): State<Engine>,
    caller: Caller,
    path: AttemptPath,
    Json { value: failure, .. }: Json<Failure>,
) -> Result<axum::Json<Ended>> {
    let outcome = engine.report(told(path, failure.into_parts()), &caller.actor()).await?;
    Ok(axum::Json(Ended::new(path, outcome)))
}

impl Failure {
    pub(super) fn into_parts(self) -> (AttemptEnd, Beside) {
        let beside = Beside::new(self.progress, self.log);
        let end = AttemptEnd::Failed {
            kind: self.error.kind.into(),
            message: self.error.message,
            code: self.error.code,
            retryable: self.retryable,
        };
        (end, beside)
    }
}
