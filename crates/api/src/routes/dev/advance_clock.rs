//! `POST /api/dev/clock/advance`

use axum::extract::State;
use orchestratum_engine::{Engine, Error};
use serde::Deserialize;
use utoipa::ToSchema;

use super::ClockDocument;
use crate::extract::Json;
use crate::problem::{Code, Document, Problem, Result};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdvanceClockBody {
    /// By so many seconds; a clock never goes back.
    #[schema(minimum = 0.000_001, maximum = 31_622_400, example = 900)]
    seconds: f64,
}

/// Move the clock on
///
/// All that is due by then happens now: timers and timeouts of sagas, delayed tasks, schedules, deadlines. It is as if the time had
/// passed in one step: what begins now, such as the timer of the next state, counts from the new time. Nobody loses a lease by it.
///
/// This call is there with `orchestratum dev --manual-clock` alone.
#[utoipa::path(
    post, path = "/api/dev/clock/advance", tag = "operations", operation_id = "advance_clock",
    request_body(content = AdvanceClockBody, example = json!({"seconds": 900})),
    responses(
        (status = 200, description = "What it shows now", body = ClockDocument),
        (status = 422, description = "No such time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn advance_clock(
    State(engine): State<Engine>,
    Json { value: body, .. }: Json<AdvanceClockBody>,
) -> Result<axum::Json<ClockDocument>> {
    match engine.advance_clock(body.seconds).await {
        Ok(now) => Ok(axum::Json(ClockDocument { now })),
        Err(Error::Invalid(violations)) => Err(Problem::invalid(Code::InvalidBody, violations)),
        Err(error) => Err(error.into()),
    }
}
