//! `POST /api/keys`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orchestratum_core::Timestamp;
use orchestratum_engine::Engine;
use orchestratum_engine::keys::{CreateKey, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::document::KeyDocument;
use crate::extract::Json;
use crate::problem::Result;
use crate::routes::schema;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
pub(crate) struct Body {
    /// For people.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Of `tasks:read`, `tasks:write`, `sagas:read`, `sagas:write`, `worker`, `gitlab` and `admin`, at least one.
    #[schema(value_type = Vec<String>, min_items = 1)]
    scopes: Vec<Scope>,
    /// From then on it is refused.
    #[serde(default)]
    #[schema(value_type = Option<schema::Time>)]
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub(crate) struct CreatedKeyDocument {
    #[serde(flatten)]
    document: KeyDocument,
    /// The whole key. It is shown this once: only a hash of it is kept.
    #[schema(example = "orch_x7Gb20QmZt1c_…")]
    key: String,
}

/// Make an API key
#[utoipa::path(
    post, path = "/api/keys", tag = "keys", operation_id = "create_key",
    request_body(content = Body, example = json!({"name": "billing service", "scopes": ["tasks:read", "tasks:write"]})),
    responses((status = 201, description = "The key, shown this once", body = CreatedKeyDocument))
)]
pub(crate) async fn create(State(engine): State<Engine>, Json { value: body, .. }: Json<Body>) -> Result<Response> {
    let Body {
        name,
        mut scopes,
        expires_at,
    } = body;
    scopes.sort_unstable();
    scopes.dedup();
    let created = engine
        .create_key(CreateKey {
            name,
            scopes,
            expires_at,
        })
        .await?;
    let document = CreatedKeyDocument {
        key: created.text.reveal(),
        document: created.key.into(),
    };
    Ok((StatusCode::CREATED, axum::Json(document)).into_response())
}
