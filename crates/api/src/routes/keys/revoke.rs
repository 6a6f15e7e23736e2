//! `DELETE /api/keys/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use orchestratum_engine::Engine;

use crate::extract::KeyPath;
use crate::problem::{Document, Result};

/// Revoke an API key
///
/// This process refuses it at once, every other one within 5 seconds. Revoking twice is fine.
#[utoipa::path(
    delete, path = "/api/keys/{id}", tag = "keys", operation_id = "revoke_key",
    params(("id" = String, Path, description = "The public id", example = "x7Gb20QmZt1c")),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 404, description = "No such key", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(State(engine): State<Engine>, KeyPath(id): KeyPath) -> Result<StatusCode> {
    engine.revoke_key(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
