//! `GET /api/tasks`

use axum::Json;
use axum::extract::State;
use orchestratum_core::{SagaId, ScheduleId, TaskId};
use orchestratum_engine::Engine;
use orchestratum_store::TaskFilter;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::document::TaskDocument;
use crate::extract::Parameters;
use crate::problem::{Code, Problem, Result};
use crate::routes::schema;

const LABELS_MAX: usize = 32;

const PARAMETERS: [&str; 11] = [
    "status",
    "name",
    "target",
    "parent_id",
    "schedule_id",
    "saga_id",
    "label.KEY",
    "created_after",
    "created_before",
    "limit",
    "cursor",
];

/// A page of tasks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskPage)]
pub(crate) struct Page {
    /// Newest first. Fewer than `limit` if they are large; it is the end only if `next_cursor` is `null`.
    items: Vec<TaskDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
    /// The filter has no index: only the newest 100,000 tasks were looked at.
    truncated: bool,
}

/// List tasks, newest first
///
/// All given conditions must hold. `status`, `parent_id`, `schedule_id`, `saga_id` and labels are indexed; with `name` or `target` alone only the
/// newest 100,000 tasks are looked at. A page ends before its inputs, outputs and errors are larger than 8 MiB together,
/// however many tasks were asked for: go on with its `next_cursor`.
#[utoipa::path(
    get, path = "/api/tasks", tag = "tasks", operation_id = "list_tasks",
    params(
        ("status" = Option<schema::Status>, Query),
        ("name" = Option<String>, Query),
        ("target" = Option<String>, Query),
        ("parent_id" = Option<Uuid>, Query),
        ("schedule_id" = Option<Uuid>, Query),
        ("saga_id" = Option<Uuid>, Query),
        ("label.KEY" = Option<String>, Query, description = "The label KEY has this value; may be given for several keys"),
        ("created_after" = Option<schema::Time>, Query),
        ("created_before" = Option<schema::Time>, Query),
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page))
)]
pub(crate) async fn list(State(engine): State<Engine>, mut parameters: Parameters) -> Result<Json<Page>> {
    let labels = parameters.take_map("label.")?;
    if labels.len() > LABELS_MAX {
        return Err(Problem::new(
            Code::InvalidQuery,
            format!("at most {LABELS_MAX} labels can be asked for"),
        ));
    }
    let filter = TaskFilter {
        status: parameters.take_strict("status")?,
        name: parameters.take_strict("name")?,
        target: parameters.take_strict("target")?,
        parent_id: parameters.take::<Uuid>("parent_id", "must be a UUID")?.map(TaskId),
        schedule_id: parameters
            .take::<Uuid>("schedule_id", "must be a UUID")?
            .map(ScheduleId),
        saga_id: parameters.take::<Uuid>("saga_id", "must be a UUID")?.map(SagaId),
        labels,
        created_after: parameters.take("created_after", "must be a time such as 2026-12-01T00:00:00Z")?,
        created_before: parameters.take("created_before", "must be a time such as 2026-12-01T00:00:00Z")?,
    };
    let limit = parameters.take_limit()?;
    let before = parameters
        .take::<Uuid>("cursor", "must be the next_cursor of a page")?
        .map(TaskId);
    parameters.finish(&PARAMETERS)?;
    let page = engine.list(&filter, before, limit).await?;
    Ok(Json(Page {
        items: page.items.into_iter().map(TaskDocument::from).collect(),
        next_cursor: page.next.map(|task| task.to_string()),
        truncated: page.truncated,
    }))
}
