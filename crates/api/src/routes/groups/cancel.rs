//! `POST /api/groups/{id}/cancel`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::Engine;
use orchestratum_engine::groups::CancelledGroup;

use super::document::StateDocument;
use crate::auth::Caller;
use crate::extract::{GroupPath, OptionalJson};
use crate::problem::{Document, Result};
use crate::routes::tasks::CancelBody;

/// Cancel a group
///
/// Its members that are not over are cancelled, in the background where they are many; the group is `Cancelled` when all are over,
/// and nothing comes after it. Asked for again, it changes nothing, and the first reason stays. The body may be left out.
#[utoipa::path(
    post, path = "/api/groups/{id}/cancel", tag = "groups", operation_id = "cancel_group",
    params(("id" = uuid::Uuid, Path, description = "The group")),
    request_body(content = Option<CancelBody>, example = json!({"reason": "no longer needed"})),
    responses(
        (status = 200, description = "It was cancelled before, or is being cancelled", body = StateDocument),
        (status = 202, description = "The group as it is now", body = StateDocument),
        (status = 404, description = "No such group", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It ended in another way, or is about to", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel(
    State(engine): State<Engine>,
    caller: Caller,
    GroupPath(group): GroupPath,
    OptionalJson { value: body, .. }: OptionalJson<CancelBody>,
) -> Result<Response> {
    let reason = body.into_reason()?;
    let (status, state) = match engine.cancel_group(group, reason, Some(caller.actor())).await? {
        CancelledGroup::Now(state) => (StatusCode::ACCEPTED, state),
        CancelledGroup::Before(state) => (StatusCode::OK, state),
    };
    Ok((status, Json(StateDocument::from(state))).into_response())
}
