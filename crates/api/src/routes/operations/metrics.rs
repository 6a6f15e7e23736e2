//! `GET /metrics`

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::{Engine, telemetry};

/// Figures in Prometheus' text form
///
/// Open without a key only where `metrics.public` is set.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "read_metrics",
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(engine): State<Engine>) -> Response {
    // Figures about the process are worth having while the database is away.
    match engine.queues().await {
        Ok(queues) => {
            for queue in queues {
                let target = queue.target.to_string();
                ::metrics::gauge!("orchestratum_queue_depth", "target" => target.clone()).set(queue.depth as f64);
                ::metrics::gauge!("orchestratum_queue_ready", "target" => target.clone()).set(queue.ready as f64);
                ::metrics::gauge!("orchestratum_queue_running", "target" => target.clone()).set(queue.running as f64);
                ::metrics::gauge!("orchestratum_queue_paused", "target" => target)
                    .set(f64::from(u8::from(queue.paused)));
            }
        }
        Err(error) => {
            tracing::warn!(error = %orchestratum_engine::error::chain(&error), "the queues could not be counted");
        }
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, telemetry::metrics().render()).into_response()
}
