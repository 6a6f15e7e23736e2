//! `GET /api/tasks/stats`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use orchestratum_core::Timestamp;
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::Stats;
use orchestratum_store::Queue;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::Parameters;
use crate::problem::Result;
use crate::routes::schema;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskStats)]
pub(crate) struct StatsDocument {
    /// How many tasks have each status; every status is listed.
    #[schema(example = json!({"Pending": 2, "InProgress": 1, "Completed": 40, "Failed": 0, "Expired": 0, "Cancelled": 0}))]
    by_status: BTreeMap<&'static str, u64>,
    /// More than 10,000,000 tasks are stored: counting stopped there, so that there may be more of each status.
    truncated: bool,
    targets: Vec<TargetStats>,
    /// When the statuses were counted. Where that takes long, the counts are kept for 20 times as long as it took.
    #[schema(value_type = schema::Time)]
    counted_at: Timestamp,
    /// When the targets were counted: they are those of `GET /api/queues`, and kept like them.
    #[schema(value_type = schema::Time)]
    targets_counted_at: Timestamp,
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
///
/// They cost time in proportion to the number of tasks: less than a tenth of a second for a million. What took longer
/// than 50 ms is counted again only after 20 times as long; `counted_at` and `targets_counted_at` tell of which moment the
/// counts are.
#[utoipa::path(
    get, path = "/api/tasks/stats", tag = "tasks", operation_id = "read_task_stats",
    responses((status = 200, description = "The counts", body = StatsDocument))
)]
pub(crate) async fn stats(State(engine): State<Engine>, parameters: Parameters) -> Result<Json<StatsDocument>> {
    parameters.finish(&[])?;
    let Stats { counts, queues } = engine.stats().await?;
    Ok(Json(StatsDocument {
        by_status: counts
            .by_status
            .into_iter()
            .map(|(status, count)| (status.as_str(), count))
            .collect(),
        truncated: counts.truncated,
        counted_at: counts.counted_at,
        targets: queues
            .queues
            .iter()
            .map(|queue| TargetStats::of(queue, queues.counted_at))
            .collect(),
        targets_counted_at: queues.counted_at,
    }))
}

impl TargetStats {
    fn of(queue: &Queue, counted_at: Timestamp) -> Self {
        Self {
            target: queue.target.to_string(),
            queued: queue.depth,
            running: queue.running,
            oldest_pending_age_seconds: queue
                .oldest_due_at
                .map(|due_at| counted_at.saturating_since(due_at).as_secs_f64()),
        }
    }
}
