//! `GET /health/ready`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Result;

/// Whether the parts work that a request needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, `degraded` while only the broker fails, or `not_ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// The failing parts: `database`, `schema`, `broker`. Creates are accepted while only the broker fails.
    failing: Vec<&'static str>,
    database: PartState,
    schema: PartState,
    broker: PartState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartState {
    Ok,
    Failing,
}

/// Whether requests can be served
///
/// The answer, at most a quarter of a second old, names the failing part; why it fails is in the logs, because this call
/// needs no key.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations", operation_id = "is_ready",
    responses(
        (status = 200, description = "Requests are served; `degraded` names a failing broker", body = Readiness),
        (status = 503, description = "Requests cannot be served", body = Readiness),
    )
)]
pub(crate) async fn ready(State(engine): State<Engine>) -> Result<Response> {
    let health = engine.health().await?;
    let state = |works: bool| if works { PartState::Ok } else { PartState::Failing };
    let (database, schema, broker) = (state(health.database), state(health.schema), state(health.broker));
    let parts = [("database", database), ("schema", schema), ("broker", broker)];
    let failing: Vec<_> = parts
        .iter()
        .filter(|(_, state)| *state == PartState::Failing)
        .map(|(name, _)| *name)
        .collect();
    // Without a broker everything is accepted and runs, only later: that is no reason to take a server out of rotation.
    let (status, word) = match (database, schema, broker) {
        (PartState::Ok, PartState::Ok, PartState::Ok) => (StatusCode::OK, "ready"),
        (PartState::Ok, PartState::Ok, PartState::Failing) => (StatusCode::OK, "degraded"),
        (PartState::Failing, _, _) | (_, PartState::Failing, _) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    let readiness = Readiness {
        status: word,
        failing,
        database,
        schema,
        broker,
    };
    Ok((status, Json(readiness)).into_response())
}
