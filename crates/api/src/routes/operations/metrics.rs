//! `GET /metrics`

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::{Engine, Error, error, telemetry};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::stored_figures;

/// Prometheus waits for 10 s by default.
const COUNTS_LIMIT: Duration = Duration::from_secs(3);

/// Figures in Prometheus' text form
///
/// Open without a key only where `metrics.public` is set. `orchestratum_queue_…` are the queues of `GET /api/queues`, and
/// `orchestratum_sagas` are the sagas that are not over: the same from every process but for the moment of their count; all
/// others are of this process.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "read_metrics",
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(engine): State<Engine>) -> Response {
    let mut text = telemetry::metrics().render();
    // Figures about the process are worth having while the database is away, before the scraper gives up.
    // Each for itself: one that is slow does not take the other away.
    let (queues, sagas) = tokio::join!(
        timeout(COUNTS_LIMIT, engine.queues()),
        timeout(COUNTS_LIMIT, engine.count_live_sagas()),
    );
    if let Some(counted) = counted("queues", queues) {
        stored_figures::write_queues(&counted.queues, &mut text);
    }
    if let Some(counted) = counted("sagas", sagas) {
        stored_figures::write_sagas(&counted, &mut text);
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, text).into_response()
}

/// What was counted in time; anything else is logged.
fn counted<Counts>(what: &'static str, counts: Result<Result<Counts, Error>, Elapsed>) -> Option<Counts> {
    match counts {
        Ok(Ok(counts)) => return Some(counts),
        Ok(Err(error)) => tracing::warn!(what, error = %error::chain(&error), "what is stored could not be counted"),
        Err(_elapsed) => tracing::warn!(what, "what is stored could not be counted in time"),
    }
    None
}
