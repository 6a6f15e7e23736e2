//! `GET /api/queues`

use axum::Json;
use axum::extract::State;
use orchestratum_core::Timestamp;
use orchestratum_engine::{Engine, Queues};
use orchestratum_store::Queue;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::Parameters;
use crate::problem::Result;
use crate::routes::schema;

/// A target as a queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
pub(crate) struct QueueDocument {
    target: String,
    /// Pending tasks, those that wait for their time included.
    depth: u64,
    /// Pending tasks whose time has come.
    ready: u64,
    running: u64,
    paused: bool,
    /// How often its tasks start; `null` if whenever a worker has time.
    rate: Option<QueueRate>,
    /// When the oldest ready task became due.
    #[schema(value_type = Option<schema::Time>)]
    oldest_due_at: Option<Timestamp>,
    oldest_age_seconds: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueRate {
    limit: u32,
    per_seconds: f64,
    burst: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queues)]
pub(crate) struct QueueList {
    items: Vec<QueueDocument>,
    /// When they were counted.
    #[schema(value_type = schema::Time)]
    counted_at: Timestamp,
    /// Always `null`: the list is whole.
    next_cursor: Option<String>,
}

/// List queues: every target that has tasks or workers, is paused or has a rate
///
/// Where counting a large backlog takes longer than 50 ms, the answer is kept for 20 times as long as it took.
#[utoipa::path(
    get, path = "/api/queues", tag = "queues", operation_id = "list_queues",
    responses((status = 200, description = "By name", body = QueueList))
)]
pub(crate) async fn list(State(engine): State<Engine>, parameters: Parameters) -> Result<Json<QueueList>> {
    parameters.finish(&[])?;
    let Queues { queues, counted_at } = engine.queues().await?;
    let documents = queues.into_iter().map(|queue| QueueDocument::of(queue, counted_at));
    Ok(Json(QueueList {
        items: documents.collect(),
        counted_at,
        next_cursor: None,
    }))
}

impl QueueDocument {
    fn of(queue: Queue, counted_at: Timestamp) -> Self {
        let Queue {
            target,
            depth,
            ready,
            running,
            paused,
            rate,
            oldest_due_at,
        } = queue;
        Self {
            target: target.to_string(),
            depth,
            ready,
            running,
            paused,
            rate: rate.map(|rate| QueueRate {
                limit: rate.limit,
                per_seconds: rate.per.as_secs_f64(),
                burst: rate.burst,
            }),
            oldest_due_at,
            oldest_age_seconds: oldest_due_at.map(|due_at| counted_at.saturating_since(due_at).as_secs_f64()),
        }
    }
}
