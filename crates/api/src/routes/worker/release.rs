//! `POST /api/worker/tasks/{id}/attempts/{attempt}/release`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;
use orchestratum_engine::external::{AttemptEnd, Beside};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Ended, told};
use crate::auth::Caller;
use crate::extract::{AttemptPath, OptionalJson};
use crate::problem::{Document, Result};

/// The attempt does not go on here.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerRelease)]
pub(crate) struct Release {
    /// For people.
    #[serde(default)]
    #[schema(max_length = 65536)]
    reason: Option<String>,
    /// How far it came, a share from 0 to 1. What is left out stays as a heartbeat said.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    progress: Option<f64>,
    /// What it wrote, for `GET /api/tasks/{id}/logs`: at most 256 KiB.
    #[serde(default)]
    #[schema(max_length = 262_144)]
    log: Option<String>,
}

/// Hand a claimed task back
///
/// For a worker that stops, or took more than it can do: the task is ready for others at once, and no retry is used. The body
/// may be left out.
#[utoipa::path(
    post, path = "/api/worker/tasks/{id}/attempts/{attempt}/release", tag = "worker", operation_id = "release_claimed_task",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("attempt" = u32, Path, description = "The attempt that was claimed"),
    ),
    request_body(content = Option<Release>, example = json!({"reason": "the worker stops"})),
    responses(
        (status = 200, description = "Recorded, now or by the same report before", body = Ended),
        (status = 404, description = "No such task or attempt", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "The attempt ended in another way", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn release(
    State(engine): State<Engine>,
    caller: Caller,
    path: AttemptPath,
    OptionalJson { value: release, .. }: OptionalJson<Release>,
) -> Result<Json<Ended>> {
    let outcome = engine.report(told(path, release.into_parts()), &caller.actor()).await?;
    Ok(Json(Ended::new(path, outcome)))
}

impl Release {
    pub(super) fn into_parts(self) -> (AttemptEnd, Beside) {
        let beside = Beside::new(self.progress, self.log);
        let end = AttemptEnd::Released {
            message: self.reason.unwrap_or_else(|| "handed back by its worker".to_owned()),
        };
        (end, beside)
    }
}
