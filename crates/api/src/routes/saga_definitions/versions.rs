//! `GET /api/saga-definitions/{name}/versions`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;

use super::document::HeadPage;
use crate::extract::{DefinitionPath, Parameters};
use crate::problem::{Document, Result};

/// List the versions of a saga definition, newest first
#[utoipa::path(
    get, path = "/api/saga-definitions/{name}/versions", tag = "sagas", operation_id = "list_saga_definition_versions",
    params(
        ("name" = String, Path, description = "The definition"),
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = HeadPage),
        (status = 404, description = "No such definition", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn versions(
    State(engine): State<Engine>,
    DefinitionPath(name): DefinitionPath,
    mut parameters: Parameters,
) -> Result<Json<HeadPage>> {
    let limit = parameters.take_limit()?;
    let before = parameters.take("cursor", "must be the next_cursor of a page")?;
    parameters.finish(&["limit", "cursor"])?;
    let found = engine.definition_versions(&name, before, limit + 1).await?;
    Ok(Json(HeadPage::new(found, limit, |head| head.version.to_string())))
}
