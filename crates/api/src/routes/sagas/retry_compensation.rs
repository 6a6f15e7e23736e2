//! `POST /api/sagas/{id}/compensations/{number}/retry`

use axum::extract::State;
use axum::response::Response;
use orchestratum_engine::Engine;

use super::answer::{expected_version, raised};
use super::document::SagaDocument;
use crate::auth::Caller;
use crate::extract::{CompensationPath, IfMatch};
use crate::problem::{Document, Result};

/// Run a stuck compensation again
///
/// With all of its retries. The others wait until it is done, or skipped.
#[utoipa::path(
    post, path = "/api/sagas/{id}/compensations/{number}/retry", tag = "sagas", operation_id = "retry_compensation",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("number" = u32, Path, description = "The `number` of the compensation"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of it"),
    ),
    responses(
        (status = 200, description = "The saga after it", body = SagaDocument, headers(("ETag" = String))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "This compensation is not stuck", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry_compensation(
    State(engine): State<Engine>,
    caller: Caller,
    CompensationPath { saga, number }: CompensationPath,
    if_match: IfMatch,
) -> Result<Response> {
    let expected = expected_version(&engine, saga, &if_match).await?;
    let outcome = engine
        .retry_compensation(saga, number, expected, Some(caller.actor()))
        .await?;
    raised(&engine, outcome, None).await
}
