//! `GET /api/tasks/{id}/attempts`

use axum::Json;
use axum::extract::State;
use orchestratum_core::Timestamp;
use orchestratum_core::task::{AttemptOutcome, TaskError, TaskState};
use orchestratum_engine::Engine;
use orchestratum_store::{Attempt, Task};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Parameters, TaskPath};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// One attempt to run a task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptDocument {
    /// Its number, over all runs.
    attempt: u32,
    run: u32,
    worker_id: Option<Uuid>,
    /// `null` while it runs.
    #[schema(value_type = Option<schema::Outcome>)]
    outcome: Option<AttemptOutcome>,
    #[schema(value_type = Option<schema::Error>)]
    error: Option<TaskError>,
    #[schema(value_type = schema::Time)]
    started_at: Timestamp,
    #[schema(value_type = Option<schema::Time>)]
    ended_at: Option<Timestamp>,
    exit_code: Option<i32>,
    peak_memory_bytes: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempts)]
pub(crate) struct AttemptList {
    /// Oldest first, the running one last.
    items: Vec<AttemptDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// The attempts of a task, the running one included
///
/// A page has up to 1,000 attempts, and ends before their errors are larger than 8 MiB together.
#[utoipa::path(
    get, path = "/api/tasks/{id}/attempts", tag = "tasks", operation_id = "list_attempts",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("cursor" = Option<u32>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "Oldest first", body = AttemptList),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn attempts(
    State(engine): State<Engine>,
    TaskPath(task): TaskPath,
    mut parameters: Parameters,
) -> Result<Json<AttemptList>> {
    let after = parameters.take::<u32>("cursor", "must be the next_cursor of a page")?;
    parameters.finish(&["cursor"])?;
    let (task, ended) = engine.attempts(task, after.unwrap_or(0)).await?;
    let mut items: Vec<AttemptDocument> = ended.items.into_iter().map(AttemptDocument::from).collect();
    // The task was read first: an attempt that ended in between is listed once, as ended.
    if ended.next.is_none()
        && let Some(open) = open_attempt(&task)
        && after.is_none_or(|after| open.attempt > after)
        && items.iter().all(|ended| ended.attempt != open.attempt)
    {
        items.push(open);
    }
    Ok(Json(AttemptList {
        items,
        next_cursor: ended.next.map(|attempt| attempt.to_string()),
    }))
}

fn open_attempt(task: &Task) -> Option<AttemptDocument> {
    match task.life.state {
        TaskState::InProgress { worker, started_at, .. } => Some(AttemptDocument {
            attempt: task.life.attempt,
            run: task.life.run,
            worker_id: Some(worker.0),
            outcome: None,
            error: None,
            started_at,
            ended_at: None,
            exit_code: None,
            peak_memory_bytes: None,
        }),
        TaskState::Pending { .. }
        | TaskState::Completed { .. }
        | TaskState::Failed { .. }
        | TaskState::Expired { .. }
        | TaskState::Cancelled { .. } => None,
    }
}

impl From<Attempt> for AttemptDocument {
    fn from(ended: Attempt) -> Self {
        let Attempt {
            attempt,
            run,
            worker,
            outcome,
            error,
            started_at,
            ended_at,
            exit_code,
            peak_memory_bytes,
        } = ended;
        Self {
            attempt,
            run,
            worker_id: worker.map(|worker| worker.0),
            outcome: Some(outcome),
            error,
            started_at,
            ended_at: Some(ended_at),
            exit_code,
            peak_memory_bytes,
        }
    }
}
