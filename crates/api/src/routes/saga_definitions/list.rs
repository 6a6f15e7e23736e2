//! `GET /api/saga-definitions`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;

use super::document::HeadPage;
use crate::extract::Parameters;
use crate::problem::Result;

/// List saga definitions, by name
///
/// Each with its newest version.
#[utoipa::path(
    get, path = "/api/saga-definitions", tag = "sagas", operation_id = "list_saga_definitions",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = HeadPage))
)]
pub(crate) async fn list(State(engine): State<Engine>, mut parameters: Parameters) -> Result<Json<HeadPage>> {
    let limit = parameters.take_limit()?;
    let after = parameters.take("cursor", "must be the next_cursor of a page")?;
    parameters.finish(&["limit", "cursor"])?;
    let found = engine.definitions(after.as_ref(), limit + 1).await?;
    Ok(Json(HeadPage::new(found, limit, |head| head.name.to_string())))
}
