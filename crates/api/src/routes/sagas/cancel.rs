//! `POST /api/sagas/{id}/cancel`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use orchestratum_engine::Engine;
use orchestratum_engine::sagas::CancelledSaga;

use super::answer::{answer, expected_version};
use super::document::SagaDocument;
use crate::auth::Caller;
use crate::extract::{IfMatch, OptionalJson, SagaPath};
use crate::problem::{Document, Result};
use crate::routes::tasks::CancelBody;

/// Cancel a saga
///
/// Its running tasks are cancelled, and what was done is undone, the newest first; then it is `Cancelled`. Asked for again, it changes
/// nothing. The body may be left out.
#[utoipa::path(
    post, path = "/api/sagas/{id}/cancel", tag = "sagas", operation_id = "cancel_saga",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of it"),
    ),
    request_body(content = Option<CancelBody>, example = json!({"reason": "no longer needed"})),
    responses(
        (status = 200, description = "It was cancelled before, or is being cancelled", body = SagaDocument, headers(("ETag" = String))),
        (status = 202, description = "The saga as it is now", body = SagaDocument, headers(("ETag" = String))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It ended in another way", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel(
    State(engine): State<Engine>,
    caller: Caller,
    SagaPath(saga): SagaPath,
    if_match: IfMatch,
    OptionalJson { value: body, .. }: OptionalJson<CancelBody>,
) -> Result<Response> {
    let reason = body.into_reason()?;
    let expected = expected_version(&engine, saga, &if_match).await?;
    match engine.cancel_saga(saga, reason, expected, Some(caller.actor())).await? {
        CancelledSaga::Now(saga) => answer(&engine, StatusCode::ACCEPTED, saga).await,
        CancelledSaga::Before(saga) => answer(&engine, StatusCode::OK, saga).await,
    }
}
