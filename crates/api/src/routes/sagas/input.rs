//! `POST /api/sagas/{id}/input`

use axum::extract::State;
use axum::response::Response;
use orchestratum_core::JsonText;
use orchestratum_engine::Engine;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{expected_version, raised};
use super::document::SagaDocument;
use crate::auth::Caller;
use crate::changes::Begun;
use crate::extract::{IfMatch, Json, SagaPath, Wait};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// The answer to what a saga asks for. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SagaInput)]
pub(crate) struct InputBody {
    #[serde(default)]
    #[schema(value_type = schema::Anything)]
    data: Option<JsonText>,
}

/// Answer what a saga asks for
///
/// Checked against the JSON Schema of the question (`awaiting`), then it raises the awaited event. Of two answers to one question the
/// second is refused. Without `If-Match` the answer is for the question of the moment when it comes: where one question may follow another,
/// give the `ETag` of the saga that was read.
#[utoipa::path(
    post, path = "/api/sagas/{id}/input", tag = "sagas", operation_id = "answer_saga",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of it: the answer is for the question of that version"),
        ("wait_seconds" = Option<f64>, Query, description = "Hold the answer until the saga waits for somebody again or is over", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
    ),
    request_body(content = InputBody, example = json!({"data": {"ok": true}})),
    responses(
        (status = 200, description = "The saga after it", body = SagaDocument, headers(("ETag" = String))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It asks nobody for anything, or what it asked is answered", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The answer breaks the schema, with a pointer to each fault", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn input(
    State(engine): State<Engine>,
    caller: Caller,
    begun: Begun,
    SagaPath(saga): SagaPath,
    if_match: IfMatch,
    wait: Wait,
    Json { value: body, .. }: Json<InputBody>,
) -> Result<Response> {
    let data = engine.checked_json("/data", body.data)?;
    let expected = expected_version(&engine, saga, &if_match).await?;
    let outcome = engine.answer(saga, data, expected, Some(caller.actor())).await?;
    raised(&engine, outcome, Some((wait, &begun))).await
}
