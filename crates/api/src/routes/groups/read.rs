//! `GET /api/groups/{id}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::Engine;

use super::document::StateDocument;
use crate::extract::{GroupPath, Wait};
use crate::problem::{Document, Result};

/// Read a group
///
/// With `wait_seconds` (or `Prefer: wait=N`) the answer is held until the group is over, or the time has passed.
#[utoipa::path(
    get, path = "/api/groups/{id}", tag = "groups", operation_id = "read_group",
    params(
        ("id" = uuid::Uuid, Path, description = "The group"),
        ("wait_seconds" = Option<f64>, Query, description = "From 0; longer than `api.max_wait_seconds` counts as that", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
    ),
    responses(
        (status = 200, description = "The group, and how its members stand", body = StateDocument),
        (status = 404, description = "No such group", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(State(engine): State<Engine>, GroupPath(group): GroupPath, wait: Wait) -> Result<Response> {
    let state = match wait.patience {
        Some(patience) => engine.wait_for_group(group, patience).await?,
        None => engine.group(group).await?,
    };
    let mut response = Json(StateDocument::from(state)).into_response();
    wait.note(response.headers_mut());
    Ok(response)
}
