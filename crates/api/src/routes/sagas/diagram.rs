//! `GET /api/sagas/{id}/diagram`

use axum::extract::State;
use axum::response::Response;
use orchestratum_engine::Engine;

use crate::extract::{Parameters, SagaPath};
use crate::problem::{Document, Result};
use crate::routes::picture::{picture, take_format};

/// Draw where a saga stands
///
/// Its definition, with its state and the way that it took marked.
#[utoipa::path(
    get, path = "/api/sagas/{id}/diagram", tag = "sagas", operation_id = "draw_saga",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("format" = Option<String>, Query, description = "`mermaid`, as if not given, or `svg`"),
    ),
    responses(
        (status = 200, description = "The picture", content((String = "text/vnd.mermaid"), (String = "image/svg+xml"))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn saga_diagram(
    State(engine): State<Engine>,
    SagaPath(saga): SagaPath,
    mut parameters: Parameters,
) -> Result<Response> {
    let format = take_format(&mut parameters)?;
    parameters.finish(&["format"])?;
    let drawn = engine.saga_diagram(saga, format).await?;
    Ok(picture(format, drawn))
}
