//! `POST /api/queues/{target}/pause`

use axum::extract::State;
use axum::http::StatusCode;
use orchestratum_engine::Engine;

use crate::auth::Caller;
use crate::extract::TargetPath;
use crate::problem::Result;

/// Pause a queue
///
/// A claim that was committed before may still start; nothing is claimed later. Tasks are still taken in. A target may be
/// paused ahead of its first task: it is listed until it is resumed.
#[utoipa::path(
    post, path = "/api/queues/{target}/pause", tag = "queues", operation_id = "pause_queue",
    params(("target" = String, Path, description = "It need not have tasks or workers yet", example = "default")),
    responses((status = 204, description = "It is paused"))
)]
pub(crate) async fn pause(
    State(engine): State<Engine>,
    caller: Caller,
    TargetPath(target): TargetPath,
) -> Result<StatusCode> {
    engine.pause(&target, Some(caller.actor())).await?;
    Ok(StatusCode::NO_CONTENT)
}
