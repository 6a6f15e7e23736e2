//! `GET /api/sagas`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use orchestratum_core::SagaId;
use orchestratum_engine::Engine;
use orchestratum_store::SagaFilter;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::document::{SagaDocument, documents};
use crate::extract::Parameters;
use crate::problem::{Code, Problem, Result};
use crate::routes::schema;

const PARAMETERS: [&str; 8] = [
    "definition",
    "state",
    "status",
    "correlation_id",
    "parent_id",
    "stale_for_seconds",
    "limit",
    "cursor",
];

const STALE_RULE: &str = "must be a number of seconds from 0";

/// A page of sagas.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaPage)]
pub(crate) struct SagasPage {
    /// Newest first. Fewer than `limit`, even none, if they are large or rare; it is the end only if `next_cursor` is `null`.
    items: Vec<SagaDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// List sagas, newest first
///
/// All given conditions must hold. `stale_for_seconds` finds those to which nothing has happened for so long: not those that are
/// over, and those that wait for an answer only with `status=AwaitingInput`. A page looks at no more than 100,000 sagas that an index
/// finds by `definition`, `parent_id` or `status`, and `next_cursor` goes on behind them: it may be empty where few of many are meant.
#[utoipa::path(
    get, path = "/api/sagas", tag = "sagas", operation_id = "list_sagas",
    params(
        ("definition" = Option<String>, Query),
        ("state" = Option<String>, Query, description = "The state in which they are. One that was cancelled is in none: with `status=Cancelled` it is that in which it was"),
        ("status" = Option<schema::SagaStatus>, Query),
        ("correlation_id" = Option<String>, Query),
        ("parent_id" = Option<Uuid>, Query, description = "Those that this saga has started"),
        ("stale_for_seconds" = Option<f64>, Query, minimum = 0),
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = SagasPage))
)]
pub(crate) async fn list(State(engine): State<Engine>, mut parameters: Parameters) -> Result<Json<SagasPage>> {
    let filter = SagaFilter {
        definition: parameters.take_strict("definition")?,
        state: parameters.take_strict("state")?,
        status: parameters.take_strict("status")?,
        correlation_id: parameters.take("correlation_id", "must be a text")?,
        parent: parameters
            .take::<Uuid>("parent_id", "must be the id of a saga")?
            .map(SagaId),
        unchanged_since: None,
    };
    if filter.correlation_id.as_ref().is_some_and(|id| id.contains('\0')) {
        return Err(Problem::broken(
            Code::InvalidQuery,
            "/correlation_id",
            "must not hold U+0000",
        ));
    }
    let stale_for = parameters.take::<f64>("stale_for_seconds", STALE_RULE)?;
    let stale_for = stale_for.map(stale_duration).transpose()?;
    let limit = parameters.take_limit()?;
    let before = parameters
        .take::<Uuid>("cursor", "must be the next_cursor of a page")?
        .map(SagaId);
    parameters.finish(&PARAMETERS)?;
    let page = match stale_for {
        Some(stale_for) => engine.stale_sagas(filter, stale_for, before, limit).await?,
        None => engine.sagas(&filter, before, limit).await?,
    };
    Ok(Json(SagasPage {
        items: documents(&engine, page.items).await?,
        next_cursor: page.next.map(|saga| saga.to_string()),
    }))
}

fn stale_duration(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let message = format!("{STALE_RULE}, not {seconds}");
        Problem::broken(Code::InvalidQuery, "/stale_for_seconds", message)
    })
}
