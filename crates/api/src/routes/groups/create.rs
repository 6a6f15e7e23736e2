//! `POST /api/groups`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::GroupId;
use orchestratum_engine::Engine;
use orchestratum_engine::groups::{CreateGroup, CreatedGroup};

use super::body::Body;
use super::document::StateDocument;
use crate::canonical;
use crate::extract::{IDEMPOTENT_REPLAY, IdempotencyKey, Json, Origin};
use crate::problem::{Document, Result};
use crate::routes::tasks::{check_chosen, idempotency};

/// Create a group: up to 10,000 tasks, and one that comes after them
///
/// All of it is stored, or nothing: a fault in one member, shown with its index, refuses the whole group. When the last member is
/// over, `on_complete` becomes a task, exactly once. Its expressions see `outputs`, the outputs in the order of the members, `null`
/// for those without one; `results`, for each member its `id`, `index`, `status`, `output` and `error`; and `group`. Outputs and
/// errors larger than the largest input together are left out: then `results` have neither, and there is no `outputs`.
#[utoipa::path(
    post, path = "/api/groups", tag = "groups", operation_id = "create_group",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; kept 7 days"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the tasks see it as `TRACEPARENT`"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 visible ASCII characters; the tasks see it as `ORCHESTRATUM_REQUEST_ID`"),
    ),
    request_body(content = Body, examples(
        ("tasks" = (summary = "Two tasks, and one that sees both outputs", value = json!({
            "name": "totals",
            "tasks": [{"name": "echo", "input": 40}, {"name": "echo", "input": 2}],
            "on_complete": {"name": "echo", "input": {"total": "${ outputs[0] + outputs[1] }", "outputs": "${ outputs }"}}
        }))),
        ("inputs" = (summary = "One task for each input", value = json!({
            "policy": "continue",
            "template": {"name": "echo", "max_retries": 2, "labels": {"batch": "night"}},
            "inputs": [{"page": 1}, {"page": 2}, {"page": 3}],
            "on_complete": {"name": "echo", "input": "${ results.filter(r, r.status != 'Completed').map(r, r.id) }"}
        }))),
        ("fail" = (summary = "The first that fails stops the others", value = json!({
            "tasks": [{"name": "echo", "input": 1}, {"name": "echo", "input": 2}],
            "on_complete": {"name": "echo", "input": "${ outputs }"},
            "on_failure": {"name": "echo", "input": "${ group.failed } of ${ group.size } failed"}
        }))),
    )),
    responses(
        (status = 201, description = "Stored; with `Idempotent-Replay: true` it was stored before", body = StateDocument,
         headers(("Location" = String), ("Idempotent-Replay" = Option<String>))),
        (status = 200, description = "The group with this `id` was created before, from the same body", body = StateDocument),
        (status = 409, description = "Another group has this `id`", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "The group of this `Idempotency-Key` was deleted", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(engine): State<Engine>,
    IdempotencyKey(key): IdempotencyKey,
    Origin(origin): Origin,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response> {
    let id = body.id;
    let draft = body.into_draft()?;
    let hash = (id.is_some() || key.is_some()).then(|| canonical::hash("POST /api/groups", &bytes));
    drop(bytes);
    let chosen = id.map(|id| check_chosen(id, engine.clock())).transpose()?;
    let request = CreateGroup {
        draft,
        chosen_id: chosen.map(GroupId).zip(hash),
        idempotency: key.zip(hash).map(|(key, hash)| idempotency(key, hash)),
        origin,
    };
    let (status, replayed, state) = match engine.create_group(request).await? {
        CreatedGroup::Created(state) => (StatusCode::CREATED, false, state),
        CreatedGroup::Replayed(state) => (StatusCode::CREATED, true, state),
        CreatedGroup::Existing(state) => (StatusCode::OK, false, state),
    };
    let document = StateDocument::from(state);
    let location = document.group.location();
    let mut response = (status, [(header::LOCATION, location)], axum::Json(document)).into_response();
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
    }
    Ok(response)
}
