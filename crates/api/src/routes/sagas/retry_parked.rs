//! `POST /api/sagas/{id}/events/{event_id}/retry`

use axum::extract::State;
use axum::response::Response;
use orchestratum_engine::Engine;

use super::answer::{expected_version, raised};
use super::document::SagaDocument;
use crate::auth::Caller;
use crate::extract::{IfMatch, ParkedPath};
use crate::problem::{Document, Result};

/// Take again what a saga has parked
///
/// What fails again stays parked, with the new reason.
#[utoipa::path(
    post, path = "/api/sagas/{id}/events/{event_id}/retry", tag = "sagas", operation_id = "retry_parked_event",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("event_id" = String, Path, description = "The `id`, or the `number`, of what is parked"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of it"),
    ),
    responses(
        (status = 200, description = "The saga after it", body = SagaDocument, headers(("ETag" = String))),
        (status = 404, description = "No such saga, or nothing parked under this id", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "The saga does not take it now", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry_parked(
    State(engine): State<Engine>,
    caller: Caller,
    ParkedPath { saga, event }: ParkedPath,
    if_match: IfMatch,
) -> Result<Response> {
    let expected = expected_version(&engine, saga, &if_match).await?;
    let outcome = engine
        .retry_parked(saga, &event, expected, Some(caller.actor()))
        .await?;
    raised(&engine, outcome, None).await
}
