//! `GET /metrics`

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::{Engine, telemetry};
use tokio::time::timeout;

use super::queue_figures;

/// Prometheus waits for 10 s by default.
const QUEUES_LIMIT: Duration = Duration::from_secs(3);

/// Figures in Prometheus' text form
///
/// Open without a key only where `metrics.public` is set. `orchestratum_queue_…` are the queues of `GET /api/queues`, the
/// same from every process but for the moment of their count; all others are of this process.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "read_metrics",
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(engine): State<Engine>) -> Response {
    let mut text = telemetry::metrics().render();
    // Figures about the process are worth having while the database is away, before the scraper gives up.
    match timeout(QUEUES_LIMIT, engine.queues()).await {
        Ok(Ok(counted)) => queue_figures::write(&counted.queues, &mut text),
        Ok(Err(error)) => {
            tracing::warn!(error = %orchestratum_engine::error::chain(&error), "the queues could not be counted");
        }
        Err(_elapsed) => tracing::warn!("the queues could not be counted in time"),
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, text).into_response()
}
