//! `GET /api/saga-definitions/{name}`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;

use super::document::DefinitionDocument;
use crate::extract::DefinitionPath;
use crate::problem::{Document, Result};

/// Read a saga definition, in its newest version
#[utoipa::path(
    get, path = "/api/saga-definitions/{name}", tag = "sagas", operation_id = "read_saga_definition",
    params(("name" = String, Path, description = "The definition")),
    responses(
        (status = 200, description = "The newest version", body = DefinitionDocument),
        (status = 404, description = "No such definition", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(
    State(engine): State<Engine>,
    DefinitionPath(name): DefinitionPath,
) -> Result<Json<DefinitionDocument>> {
    Ok(Json(engine.definition(&name, None).await?.into()))
}
