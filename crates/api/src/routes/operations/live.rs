//! `GET /health/live`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    #[schema(example = "live")]
    status: &'static str,
}

/// Whether the process answers at all
#[utoipa::path(
    get, path = "/health/live", tag = "operations", operation_id = "is_live",
    responses((status = 200, description = "It does", body = Live))
)]
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}
