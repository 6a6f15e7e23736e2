//! `POST /api/worker/tasks/{id}/attempts/{attempt}/complete`

use axum::Json;
use axum::extract::State;
use orchestratum_core::JsonText;
use orchestratum_core::task::FollowUpList;
use orchestratum_engine::Engine;
use orchestratum_engine::external::{AttemptEnd, Beside};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Ended, told};
use crate::auth::Caller;
use crate::extract::{AttemptPath, OptionalJson};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// The task succeeded.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerSuccess)]
pub(crate) struct Success {
    /// Of at most `tasks.output_max_bytes`: with a larger one the task is `Failed` for good.
    #[serde(default)]
    #[schema(value_type = Option<schema::Anything>)]
    output: Option<JsonText>,
    /// What comes next, beside what the task itself lists.
    #[serde(default)]
    #[schema(value_type = schema::FollowUps)]
    follow_ups: FollowUpList,
    /// How far it came, a share from 0 to 1. What is left out stays as a heartbeat said.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    progress: Option<f64>,
    /// What it wrote, for `GET /api/tasks/{id}/logs`: at most 256 KiB.
    #[serde(default)]
    #[schema(max_length = 262_144)]
    log: Option<String>,
}

/// Report a success
///
/// The task is `Completed`, with its output and what follows it, in one commit. The body may be left out.
#[utoipa::path(
    post, path = "/api/worker/tasks/{id}/attempts/{attempt}/complete", tag = "worker", operation_id = "complete_claimed_task",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("attempt" = u32, Path, description = "The attempt that was claimed"),
    ),
    request_body(content = Option<Success>, example = json!({
        "output": {"sent": 3}, "follow_ups": [{"name": "echo", "input": "${ output.sent }"}]
    })),
    responses(
        (status = 200, description = "Recorded, now or by the same report before", body = Ended),
        (status = 404, description = "No such task or attempt", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "The attempt ended in another way", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn complete(
    State(engine): State<Engine>,
    caller: Caller,
    path: AttemptPath,
    OptionalJson { value: success, .. }: OptionalJson<Success>,
) -> Result<Json<Ended>> {
    let outcome = engine.report(told(path, success.into_parts()), &caller.actor()).await?;
    Ok(Json(Ended::new(path, outcome)))
}

impl Success {
    pub(super) fn into_parts(self) -> (AttemptEnd, Beside) {
        let beside = Beside::new(self.progress, self.log);
        let end = AttemptEnd::Completed {
            output: self.output,
            follow_ups: self.follow_ups.0,
        };
        (end, beside)
    }
}
