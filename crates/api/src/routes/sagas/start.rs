//! `POST /api/sagas`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use orchestratum_core::JsonText;
use orchestratum_core::saga::DefinitionName;
use orchestratum_engine::Engine;
use orchestratum_engine::given::check_id;
use orchestratum_engine::sagas::{StartSaga, StartedSaga};
use serde::Deserialize;
use tracing::Span;
use utoipa::ToSchema;

use super::answer::{answer, settled};
use super::document::SagaDocument;
use crate::auth::Caller;
use crate::canonical;
use crate::changes::Begun;
use crate::extract::{IDEMPOTENT_REPLAY, IdempotencyKey, Json, Origin, Wait};
use crate::problem::{Document, Result};
use crate::routes::schema;
use crate::routes::tasks::idempotency;

/// A saga to be started. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSaga)]
pub(crate) struct StartBody {
    /// The name of a definition.
    #[schema(value_type = String, example = "order", pattern = "^[A-Za-z0-9._-]{1,100}$")]
    definition: DefinitionName,
    /// The newest, if not given.
    #[serde(default)]
    #[schema(minimum = 1)]
    definition_version: Option<u32>,
    /// By which you know it: the same definition and correlation id again are the same saga. If not given, it is the id that the saga gets.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200, example = "order-4711")]
    correlation_id: Option<String>,
    /// What the definition sees as `input`; `{}` if not given.
    #[serde(default)]
    #[schema(value_type = schema::Anything)]
    input: Option<JsonText>,
}

/// Start a saga
///
/// Stored with its first tasks in one commit. The same definition and correlation id again start nothing: they are answered with the saga
/// that there is. A start without a correlation id is safe to repeat with an `Idempotency-Key`. With `wait_seconds` (or `Prefer: wait=N`) the answer is held until the saga waits for somebody or is over, or the
/// time has passed.
#[utoipa::path(
    post, path = "/api/sagas", tag = "sagas", operation_id = "start_saga",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; kept 7 days"),
        ("wait_seconds" = Option<f64>, Query, description = "From 0; longer than `api.max_wait_seconds` counts as that", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the tasks see it as `TRACEPARENT`"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 visible ASCII characters; the tasks see it as `ORCHESTRATUM_REQUEST_ID`"),
    ),
    request_body(content = StartBody, example = json!({
        "definition": "greeting", "correlation_id": "greeting-1", "input": {"to": "world"}
    })),
    responses(
        (status = 201, description = "Started; with `Idempotent-Replay: true` it was started before", body = SagaDocument,
         headers(("Location" = String), ("ETag" = String, description = "Its version"), ("Idempotent-Replay" = Option<String>))),
        (status = 200, description = "It was started before", body = SagaDocument, headers(("Location" = String), ("ETag" = String))),
        (status = 404, description = "No such definition, or no such version", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "The initial state does not take `start`: nothing begins by this definition in this way, or no more", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "The saga of this `Idempotency-Key` was deleted", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "It cannot start with this input", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn start(
    State(engine): State<Engine>,
    caller: Caller,
    begun: Begun,
    wait: Wait,
    IdempotencyKey(key): IdempotencyKey,
    Origin(origin): Origin,
    Json { value: body, bytes }: Json<StartBody>,
) -> Result<Response> {
    if let Some(correlation_id) = &body.correlation_id {
        check_id("/correlation_id", correlation_id)?;
    }
    let key = key.map(|key| idempotency(key, canonical::hash("POST /api/sagas", &bytes)));
    drop(bytes);
    let request = StartSaga {
        definition: body.definition,
        version: body.definition_version,
        correlation_id: body.correlation_id,
        input: engine.checked_json("/input", body.input)?,
        origin,
        actor: Some(caller.actor()),
        idempotency: key,
    };
    let (status, replayed, saga) = match engine.start_saga(request).await? {
        StartedSaga::New(saga) => (StatusCode::CREATED, false, saga),
        StartedSaga::Existing(saga) => (StatusCode::OK, false, saga),
        StartedSaga::Replayed(saga) => (StatusCode::CREATED, true, saga),
    };
    Span::current().record("saga.id", tracing::field::display(saga.id));
    let saga = settled(&engine, saga, wait, &begun).await;
    let location = HeaderValue::from_str(&format!("/api/sagas/{}", saga.id)).expect("a UUID is visible ASCII");
    let mut response = answer(&engine, status, saga).await?;
    response.headers_mut().insert(header::LOCATION, location);
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
    }
    wait.note(response.headers_mut());
    Ok(response)
}
