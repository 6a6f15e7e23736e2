//! `GET /metrics`

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::{Engine, telemetry};

use super::queue_figures;

/// Figures in Prometheus' text form
///
/// Open without a key only where `metrics.public` is set. `orchestratum_queue_…` are the queues of `GET /api/queues`, the
/// same from every process; all others are of this process.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "read_metrics",
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(engine): State<Engine>) -> Response {
    let mut text = telemetry::metrics().render();
    // Figures about the process are worth having while the database is away.
    match engine.queues().await {
        Ok(queues) => queue_figures::write(&queues, &mut text),
        Err(error) => {
            tracing::warn!(error = %orchestratum_engine::error::chain(&error), "the queues could not be counted");
        }
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, text).into_response()
}
