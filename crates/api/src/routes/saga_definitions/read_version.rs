//! `GET /api/saga-definitions/{name}/versions/{version}`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;

use super::document::DefinitionDocument;
use crate::extract::DefinitionVersionPath;
use crate::problem::{Document, Result};

/// Read one version of a saga definition
#[utoipa::path(
    get, path = "/api/saga-definitions/{name}/versions/{version}", tag = "sagas",
    operation_id = "read_saga_definition_version",
    params(
        ("name" = String, Path, description = "The definition"),
        ("version" = u32, Path, description = "The version, from 1"),
    ),
    responses(
        (status = 200, description = "The version", body = DefinitionDocument),
        (status = 404, description = "No such definition, or no such version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read_version(
    State(engine): State<Engine>,
    DefinitionVersionPath { name, version }: DefinitionVersionPath,
) -> Result<Json<DefinitionDocument>> {
    Ok(Json(engine.definition(&name, Some(version)).await?.into()))
}
