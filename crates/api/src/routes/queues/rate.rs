//! `GET`, `PUT` and `DELETE /api/queues/{target}/rate`

use axum::extract::State;
use axum::http::StatusCode;
use orchestratum_core::task::TargetRate;
use orchestratum_engine::Engine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::{Json, TargetPath};
use crate::problem::{Code, Document, Problem, Result};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTargetRate)]
pub(crate) struct RateBody {
    /// So many tasks start,
    #[schema(minimum = 1, maximum = 1_000_000, example = 600)]
    limit: i64,
    /// in so many seconds.
    #[schema(minimum = 0.001, maximum = 2_592_000, example = 60)]
    per_seconds: f64,
    /// So many start at once after a rest, `limit` at most. If not given, what is earned in a second, and one at least.
    #[serde(default)]
    #[schema(minimum = 1, example = 10)]
    burst: Option<i64>,
}

/// How often tasks of a target start.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetRate)]
pub(crate) struct RateDocument {
    target: String,
    limit: u32,
    per_seconds: f64,
    burst: u32,
}

/// How often tasks of a target start
#[utoipa::path(
    get, path = "/api/queues/{target}/rate", tag = "queues", operation_id = "read_rate",
    params(("target" = String, Path, description = "It need not have tasks or workers yet", example = "default")),
    responses(
        (status = 200, description = "The rate", body = RateDocument),
        (status = 404, description = "It has none", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rate(
    State(engine): State<Engine>,
    TargetPath(target): TargetPath,
) -> Result<axum::Json<RateDocument>> {
    let Some(TargetRate { limit, per, burst }) = engine.rate(&target).await? else {
        let detail = format!("the target {target} has no rate: its tasks start whenever a worker has time");
        return Err(Problem::new(Code::RateNotFound, detail));
    };
    Ok(axum::Json(RateDocument {
        target: target.to_string(),
        limit,
        per_seconds: per.as_secs_f64(),
        burst,
    }))
}

/// Say how often tasks of a target start
///
/// It holds for what is claimed from now on, by whatever worker. Every attempt counts.
#[utoipa::path(
    put, path = "/api/queues/{target}/rate", tag = "queues", operation_id = "set_rate",
    params(("target" = String, Path, description = "It need not have tasks or workers yet", example = "default")),
    request_body(content = RateBody, example = json!({"limit": 600, "per_seconds": 60})),
    responses((status = 204, description = "It holds"))
)]
pub(crate) async fn set_rate(
    State(engine): State<Engine>,
    caller: Caller,
    TargetPath(target): TargetPath,
    Json { value: body, .. }: Json<RateBody>,
) -> Result<StatusCode> {
    let RateBody {
        limit,
        per_seconds,
        burst,
    } = body;
    let rate = TargetRate::check(limit, per_seconds, burst)
        .map_err(|violations| Problem::invalid(Code::InvalidBody, violations))?;
    engine.set_rate(&target, Some(rate), Some(caller.actor())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let tasks of a target start whenever a worker has time
#[utoipa::path(
    delete, path = "/api/queues/{target}/rate", tag = "queues", operation_id = "remove_rate",
    params(("target" = String, Path, description = "It need not have a rate", example = "default")),
    responses((status = 204, description = "It has no rate"))
)]
pub(crate) async fn remove_rate(
    State(engine): State<Engine>,
    caller: Caller,
    TargetPath(target): TargetPath,
) -> Result<StatusCode> {
    engine.set_rate(&target, None, Some(caller.actor())).await?;
    Ok(StatusCode::NO_CONTENT)
}
