//! `DELETE /api/groups/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use orchestratum_engine::Engine;

use crate::auth::Caller;
use crate::extract::GroupPath;
use crate::problem::{Document, Result};

/// Forget a group that is over
///
/// Its members, and the task that came after it, stay.
#[utoipa::path(
    delete, path = "/api/groups/{id}", tag = "groups", operation_id = "delete_group",
    params(("id" = uuid::Uuid, Path, description = "The group")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No such group", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It is not over", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(engine): State<Engine>,
    caller: Caller,
    GroupPath(group): GroupPath,
) -> Result<StatusCode> {
    engine.delete_group(group, Some(caller.actor())).await?;
    Ok(StatusCode::NO_CONTENT)
}
