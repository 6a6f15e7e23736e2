//! `POST /api/sagas/{id}/retry`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use orchestratum_core::JsonText;
use orchestratum_engine::Engine;
use orchestratum_engine::given::{CONTEXT_FIELDS_MAX_COUNT, context_fields};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{expected_version, raised};
use super::document::SagaDocument;
use crate::auth::Caller;
use crate::extract::{IfMatch, OptionalJson, SagaPath, bounded};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// How a saga that needs attention is taken again. Unknown fields are refused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SagaRetry)]
pub(crate) struct RetrySagaBody {
    /// Fields of the context that are set first.
    #[serde(default, deserialize_with = "bounded::map::<_, _, CONTEXT_FIELDS_MAX_COUNT>")]
    #[schema(value_type = schema::Anything)]
    context: Option<BTreeMap<String, JsonText>>,
}

/// Take a saga that needs attention again
///
/// From where it failed: what is parked is taken again, the oldest first, with the fields of `context` set before. The body may be left out.
#[utoipa::path(
    post, path = "/api/sagas/{id}/retry", tag = "sagas", operation_id = "retry_saga",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of it"),
    ),
    request_body(content = Option<RetrySagaBody>, example = json!({"context": {"limit": 100}})),
    responses(
        (status = 200, description = "The saga after it: what failed again is parked again", body = SagaDocument, headers(("ETag" = String))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It does not need attention", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "`context` has what is no field of the context, or the body breaks rules", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry(
    State(engine): State<Engine>,
    caller: Caller,
    SagaPath(saga): SagaPath,
    if_match: IfMatch,
    OptionalJson { value: body, .. }: OptionalJson<RetrySagaBody>,
) -> Result<Response> {
    let context = context_fields(body.context.unwrap_or_default())?;
    let expected = expected_version(&engine, saga, &if_match).await?;
    let retried = engine.retry_saga(saga, context, expected, Some(caller.actor())).await?;
    raised(&engine, retried, None).await
}
