//! `GET /api/tasks/stats`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use orchestratum_core::Timestamp;
use orchestratum_engine::Engine;
use orchestratum_store::Queue;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Result;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskStats)]
pub(crate) struct StatsDocument {
    /// How many tasks have each status; every status is listed.
    #[schema(example = json!({"Pending": 2, "InProgress": 1, "Completed": 40, "Failed": 0, "Expired": 0, "Cancelled": 0}))]
    by_status: BTreeMap<&'static str, u64>,
    targets: Vec<TargetStats>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TargetStats {
    target: String,
    /// Pending tasks, those that wait for their time included.
    queued: u64,
    running: u64,
    /// How long the oldest task that could run has been waiting.
    oldest_pending_age_seconds: Option<f64>,
}

/// Counts by status and by target
#[utoipa::path(
    get, path = "/api/tasks/stats", tag = "tasks", operation_id = "read_task_stats",
    responses((status = 200, description = "The counts", body = StatsDocument))
)]
pub(crate) async fn stats(State(engine): State<Engine>) -> Result<Json<StatsDocument>> {
    let stats = engine.stats().await?;
    let now = engine.clock().now();
    Ok(Json(StatsDocument {
        by_status: stats
            .by_status
            .into_iter()
            .map(|(status, count)| (status.as_str(), count))
            .collect(),
        targets: stats.queues.iter().map(|queue| TargetStats::of(queue, now)).collect(),
    }))
}

impl TargetStats {
    fn of(queue: &Queue, now: Timestamp) -> Self {
        Self {
            target: queue.target.to_string(),
            queued: queue.depth,
            running: queue.running,
            oldest_pending_age_seconds: queue
                .oldest_due_at
                .map(|due_at| now.saturating_since(due_at).as_secs_f64()),
        }
    }
}
