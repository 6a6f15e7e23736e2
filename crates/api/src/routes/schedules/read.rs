//! `GET /api/schedules/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use orchestratum_engine::Engine;

use super::document::ScheduleDocument;
use crate::extract::SchedulePath;
use crate::problem::{Document, Result};

/// A schedule
#[utoipa::path(
    get, path = "/api/schedules/{id}", tag = "schedules", operation_id = "read_schedule",
    params(("id" = uuid::Uuid, Path, description = "The schedule")),
    responses(
        (status = 200, description = "What was asked for, and how it stands", body = ScheduleDocument, headers(("ETag" = String))),
        (status = 404, description = "No such schedule", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(State(engine): State<Engine>, SchedulePath(schedule): SchedulePath) -> Result<Response> {
    let schedule = engine.schedule(schedule).await?;
    Ok(ScheduleDocument::from(schedule).answer(StatusCode::OK))
}
