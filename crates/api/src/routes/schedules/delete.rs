//! `DELETE /api/schedules/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use orchestratum_engine::Engine;

use crate::auth::Caller;
use crate::extract::SchedulePath;
use crate::problem::{Document, Result};

/// Delete a schedule
///
/// Its tasks stay, those included that are not over.
#[utoipa::path(
    delete, path = "/api/schedules/{id}", tag = "schedules", operation_id = "delete_schedule",
    params(("id" = uuid::Uuid, Path, description = "The schedule")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No such schedule", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(engine): State<Engine>,
    caller: Caller,
    SchedulePath(schedule): SchedulePath,
) -> Result<StatusCode> {
    engine.delete_schedule(schedule, Some(caller.actor())).await?;
    Ok(StatusCode::NO_CONTENT)
}
