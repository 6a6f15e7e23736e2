//! `POST /api/queues/{target}/resume`

use axum::extract::State;
use axum::http::StatusCode;
use orchestratum_engine::Engine;

use crate::auth::Caller;
use crate::extract::TargetPath;
use crate::problem::Result;

/// Resume a queue
#[utoipa::path(
    post, path = "/api/queues/{target}/resume", tag = "queues", operation_id = "resume_queue",
    params(("target" = String, Path, description = "It need not have tasks or workers yet", example = "default")),
    responses((status = 204, description = "It is no longer paused"))
)]
pub(crate) async fn resume(
    State(engine): State<Engine>,
    caller: Caller,
    TargetPath(target): TargetPath,
) -> Result<StatusCode> {
    engine.resume(&target, Some(caller.actor())).await?;
    Ok(StatusCode::NO_CONTENT)
}
