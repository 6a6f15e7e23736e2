//! `GET /metrics`

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::{Engine, Error, error, telemetry};
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
    let counts = async { tokio::join!(engine.queues(), engine.count_live_sagas()) };
    match timeout(COUNTS_LIMIT, counts).await {
        Ok((queues, sagas)) => {
            match queues {
                Ok(counted) => stored_figures::write_queues(&counted.queues, &mut text),
                Err(error) => not_counted("the queues", &error),
            }
            match sagas {
                Ok(counted) => stored_figures::write_sagas(&counted, &mut text),
                Err(error) => not_counted("the sagas", &error),
            }
        }
        Err(_elapsed) => tracing::warn!("queues and sagas could not be counted in time"),
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, text).into_response()
}

fn not_counted(what: &'static str, error: &Error) {
    tracing::warn!(what, error = %error::chain(error), "what is stored could not be counted");
}
