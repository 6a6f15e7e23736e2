//! `POST /api/sagas/{id}/events`

use axum::extract::State;
use axum::response::Response;
use orchestratum_core::JsonText;
use orchestratum_core::saga::EventName;
use orchestratum_engine::Engine;
use orchestratum_engine::given::check_event_id;
use orchestratum_engine::sagas::RaiseEvent;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{expected_version, raised};
use super::document::SagaDocument;
use crate::auth::Caller;
use crate::changes::Begun;
use crate::extract::{IfMatch, Json, SagaPath, Wait};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// An event for one saga. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SagaEvent)]
pub(crate) struct RaiseBody {
    #[schema(value_type = String, example = "greeted", pattern = "^[A-Za-z0-9._-]{1,100}$")]
    name: EventName,
    /// What the definition sees as `event.data`.
    #[serde(default)]
    #[schema(value_type = schema::Anything)]
    data: Option<JsonText>,
    /// Makes it safe to repeat: the same event again is taken once. An id is that of one event.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200, example = "payment-17")]
    id: Option<String>,
}

/// Raise an event in a saga
///
/// All that had reached the saga before is looked at first; the answer is the saga after this event. An event of an `id` that it has
/// taken before is answered with `Idempotent-Replay: true`, and changes nothing. With `If-Match` it is refused if the saga has
/// another version by then.
#[utoipa::path(
    post, path = "/api/sagas/{id}/events", tag = "sagas", operation_id = "raise_saga_event",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of it"),
        ("wait_seconds" = Option<f64>, Query, description = "Hold the answer until the saga waits for somebody or is over", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
    ),
    request_body(content = RaiseBody, example = json!({"name": "greeted", "data": {"by": "Ada"}, "id": "greeting-1-greeted"})),
    responses(
        (status = 200, description = "The saga after it", body = SagaDocument,
         headers(("ETag" = String), ("Idempotent-Replay" = Option<String>))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not take the event (`takes` names those that it takes), or the `id` is that of another event", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The saga asks for this event, and the data break the schema, with a pointer to each fault", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn raise(
    State(engine): State<Engine>,
    caller: Caller,
    begun: Begun,
    SagaPath(saga): SagaPath,
    if_match: IfMatch,
    wait: Wait,
    Json { value: body, .. }: Json<RaiseBody>,
) -> Result<Response> {
    if let Some(id) = &body.id {
        check_event_id(id)?;
    }
    let event = RaiseEvent {
        saga,
        name: body.name,
        data: engine.checked_json("/data", body.data)?,
        id: body.id,
        expected_version: expected_version(&engine, saga, &if_match).await?,
        actor: Some(caller.actor()),
    };
    let outcome = engine.raise(event).await?;
    raised(&engine, outcome, Some((wait, &begun))).await
}
