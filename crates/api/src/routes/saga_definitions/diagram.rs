//! `GET /api/saga-definitions/{name}/diagram`

use axum::extract::State;
use axum::response::Response;
use orchestratum_engine::Engine;

use crate::extract::{DefinitionPath, Parameters};
use crate::problem::{Document, Result};
use crate::routes::picture::{picture, take_format};

/// Draw a saga definition
///
/// As a state diagram of Mermaid, or as an SVG image that needs nothing else.
#[utoipa::path(
    get, path = "/api/saga-definitions/{name}/diagram", tag = "sagas", operation_id = "draw_saga_definition",
    params(
        ("name" = String, Path, description = "The definition"),
        ("version" = Option<u32>, Query, description = "The newest, if not given", minimum = 1),
        ("format" = Option<String>, Query, description = "`mermaid`, as if not given, or `svg`"),
    ),
    responses(
        (status = 200, description = "The picture", content((String = "text/vnd.mermaid"), (String = "image/svg+xml"))),
        (status = 404, description = "No such definition, or no such version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn diagram(
    State(engine): State<Engine>,
    DefinitionPath(name): DefinitionPath,
    mut parameters: Parameters,
) -> Result<Response> {
    let format = take_format(&mut parameters)?;
    let version = parameters.take("version", "must be a whole number from 1")?;
    parameters.finish(&["version", "format"])?;
    let drawn = engine.definition_diagram(&name, version, format).await?;
    Ok(picture(format, drawn))
}
