//! `POST /api/worker/tasks/{id}/attempts/{attempt}/heartbeat`

use axum::Json;
use axum::extract::State;
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_engine::Engine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::{AttemptPath, OptionalJson};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// How far it is. What is left out stays as it was told before.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerHeartbeat)]
pub(crate) struct Beat {
    /// A share, from 0 to 1.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    progress: Option<f64>,
    /// At most 64 KiB, for the next attempt of this run should this one be lost or fail.
    #[serde(default)]
    #[schema(value_type = Option<schema::Anything>)]
    checkpoint: Option<JsonText>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerHeartbeatAnswer)]
pub(crate) struct Kept {
    /// Stop, and report a failure of the kind `Cancelled`.
    cancel_requested: bool,
    #[schema(value_type = schema::Time)]
    deadline_at: Timestamp,
    #[schema(value_type = schema::Time)]
    lease_expires_at: Timestamp,
}

/// Keep a claimed task
///
/// Its lease begins anew. A third of the lease is a good interval, and no more than 10 s. The body may be left out.
#[utoipa::path(
    post, path = "/api/worker/tasks/{id}/attempts/{attempt}/heartbeat", tag = "worker", operation_id = "keep_claimed_task",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("attempt" = u32, Path, description = "The attempt that was claimed"),
    ),
    request_body(content = Option<Beat>, example = json!({"progress": 0.4, "checkpoint": {"page": 17}})),
    responses(
        (status = 200, description = "It goes on", body = Kept),
        (status = 404, description = "No such task or attempt", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "The attempt is over: stop", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn heartbeat(
    State(engine): State<Engine>,
    caller: Caller,
    AttemptPath { task, attempt }: AttemptPath,
    OptionalJson { value: beat, .. }: OptionalJson<Beat>,
) -> Result<Json<Kept>> {
    let Beat { progress, checkpoint } = beat;
    let kept = engine
        .heartbeat(task, attempt, progress, checkpoint, &caller.actor())
        .await?;
    Ok(Json(Kept {
        cancel_requested: kept.cancel_requested,
        deadline_at: kept.deadline_at,
        lease_expires_at: kept.lease_expires_at,
    }))
}
