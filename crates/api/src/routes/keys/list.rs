//! `GET /api/keys`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use super::document::KeyDocument;
use crate::extract::Parameters;
use crate::problem::Result;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeys)]
pub(crate) struct KeyList {
    items: Vec<KeyDocument>,
    /// Always `null`: the list is whole.
    next_cursor: Option<String>,
}

/// List API keys, revoked ones included
#[utoipa::path(
    get, path = "/api/keys", tag = "keys", operation_id = "list_keys",
    responses((status = 200, description = "Newest first", body = KeyList))
)]
pub(crate) async fn list(State(engine): State<Engine>, parameters: Parameters) -> Result<Json<KeyList>> {
    parameters.finish(&[])?;
    let items = engine.list_keys().await?.into_iter().map(KeyDocument::from).collect();
    Ok(Json(KeyList {
        items,
        next_cursor: None,
    }))
}
