//! `POST /api/events`

use axum::extract::State;
use orchestratum_core::JsonText;
use orchestratum_core::saga::{DefinitionName, EventName};
use orchestratum_engine::Engine;
use orchestratum_engine::given::{check_event_id, check_id};
use orchestratum_engine::sagas::PublishEvent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::{Json, Origin};
use crate::problem::{Document, Result};
use crate::routes::sagas::{SagaDocument, documents};
use crate::routes::schema;

/// An event for whichever saga has the correlation id. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Event)]
pub(crate) struct PublishBody {
    #[schema(value_type = String, example = "greeting_wanted", pattern = "^[A-Za-z0-9._-]{1,100}$")]
    name: EventName,
    #[schema(min_length = 1, max_length = 200, example = "order-4711")]
    correlation_id: String,
    /// Only sagas of this definition are meant. Needed where `start` is to start one: it is raised by `POST /api/sagas`, and any
    /// definition may begin on it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "greeting", pattern = "^[A-Za-z0-9._-]{1,100}$")]
    definition: Option<DefinitionName>,
    /// What the definition sees as `event.data`, and as `input` if it starts a saga.
    #[serde(default)]
    #[schema(value_type = schema::Anything)]
    data: Option<JsonText>,
    /// Makes it safe to repeat: the same event again is taken once. An id is that of one event.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200, example = "order-4711-placed")]
    id: Option<String>,
}

/// What an event has reached: at least one saga.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublishedEvent)]
pub(crate) struct PublishedDocument {
    /// Those that took it, now or before.
    taken: Vec<SagaDocument>,
    /// Those that it started, now or before.
    started: Vec<SagaDocument>,
}

/// Publish an event by correlation id
///
/// It goes to the live sagas with this correlation id that take it. Where none takes it, it starts a saga of each definition whose
/// initial state lists the event and that has none with this correlation id yet: of all of them, or of none where one cannot start so.
#[utoipa::path(
    post, path = "/api/events", tag = "sagas", operation_id = "publish_event",
    params(
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; tasks of a saga that it starts see it as `TRACEPARENT`"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 visible ASCII characters; likewise, as `ORCHESTRATUM_REQUEST_ID`"),
    ),
    request_body(content = PublishBody, example = json!({
        "name": "greeting_wanted", "correlation_id": "greeting-2", "data": {"to": "everyone"}, "id": "greeting-2-wanted"
    })),
    responses(
        (status = 200, description = "The sagas that it has reached", body = PublishedDocument),
        (status = 404, description = "No saga has the correlation id, and none begins on the event", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "It breaks the schema of what a saga asks for; or it would start sagas, and one cannot start so, or it is `start` without `definition`", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "There are such sagas, and none takes the event; or its `id` is that of another event", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn publish(
    State(engine): State<Engine>,
    caller: Caller,
    Origin(origin): Origin,
    Json { value: body, .. }: Json<PublishBody>,
) -> Result<axum::Json<PublishedDocument>> {
    check_id("/correlation_id", &body.correlation_id)?;
    if let Some(id) = &body.id {
        check_event_id(id)?;
    }
    let event = PublishEvent {
        name: body.name,
        correlation_id: body.correlation_id,
        definition: body.definition,
        data: engine.checked_json("/data", body.data)?,
        id: body.id,
        origin,
        actor: Some(caller.actor()),
    };
    let published = engine.publish(event).await?;
    Ok(axum::Json(PublishedDocument {
        taken: documents(&engine, published.taken).await?,
        started: documents(&engine, published.started).await?,
    }))
}
