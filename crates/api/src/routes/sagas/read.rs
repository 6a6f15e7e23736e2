//! `GET /api/sagas/{id}`

use axum::extract::State;
use axum::response::Response;
use orchestratum_engine::Engine;

use super::answer::answer_in_full;
use super::document::SagaDocument;
use crate::extract::{SagaPath, Wait};
use crate::problem::{Document, Result};

/// Read a saga
///
/// With `wait_seconds` (or `Prefer: wait=N`) the answer is held until the saga waits for somebody (`AwaitingInput`, `NeedsAttention`,
/// `CompensationStuck`) or is over, or the time has passed. `timers` tells what will happen to it by itself, and when.
#[utoipa::path(
    get, path = "/api/sagas/{id}", tag = "sagas", operation_id = "read_saga",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("wait_seconds" = Option<f64>, Query, description = "From 0; longer than `api.max_wait_seconds` counts as that", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
    ),
    responses(
        (status = 200, description = "The saga", body = SagaDocument, headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(State(engine): State<Engine>, SagaPath(saga): SagaPath, wait: Wait) -> Result<Response> {
    let found = match wait.patience {
        Some(patience) => engine.wait_for_saga(saga, patience).await?,
        None => engine.saga(saga).await?,
    };
    let mut response = answer_in_full(&engine, found).await?;
    wait.note(response.headers_mut());
    Ok(response)
}
