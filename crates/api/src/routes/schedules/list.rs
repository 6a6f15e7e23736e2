//! `GET /api/schedules`

use axum::Json;
use axum::extract::State;
use orchestratum_core::ScheduleId;
use orchestratum_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::document::ScheduleDocument;
use crate::extract::Parameters;
use crate::problem::{Code, Problem, Result};

const PARAMETERS: [&str; 3] = ["name", "limit", "cursor"];

/// A page of schedules.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SchedulePage)]
pub(crate) struct SchedulesPage {
    /// Newest first. Fewer than `limit` if their tasks are large; it is the end only if `next_cursor` is `null`.
    items: Vec<ScheduleDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// List schedules, newest first
#[utoipa::path(
    get, path = "/api/schedules", tag = "schedules", operation_id = "list_schedules",
    params(
        ("name" = Option<String>, Query, description = "Those of exactly this name"),
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = SchedulesPage))
)]
pub(crate) async fn list(State(engine): State<Engine>, mut parameters: Parameters) -> Result<Json<SchedulesPage>> {
    let name = parameters.take::<String>("name", "must be a text")?;
    if name.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(Problem::broken(Code::InvalidQuery, "/name", "must not hold U+0000"));
    }
    let limit = parameters.take_limit()?;
    let before = parameters
        .take::<Uuid>("cursor", "must be the next_cursor of a page")?
        .map(ScheduleId);
    parameters.finish(&PARAMETERS)?;
    let page = engine.schedules(name.as_deref(), before, limit).await?;
    Ok(Json(SchedulesPage {
        items: page.items.into_iter().map(ScheduleDocument::from).collect(),
        next_cursor: page.next.map(|schedule| schedule.to_string()),
    }))
}
