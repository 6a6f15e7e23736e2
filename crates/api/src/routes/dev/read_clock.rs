//! `GET /api/dev/clock`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;

use super::ClockDocument;

/// What the clock shows
///
/// This call is there with `orchestratum dev --manual-clock` alone.
#[utoipa::path(
    get, path = "/api/dev/clock", tag = "operations", operation_id = "read_clock",
    responses((status = 200, description = "Its time", body = ClockDocument))
)]
pub(crate) async fn read_clock(State(engine): State<Engine>) -> Json<ClockDocument> {
    Json(ClockDocument {
        now: engine.clock().now(),
    })
}
