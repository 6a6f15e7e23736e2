//! `PUT /api/saga-definitions/{name}`

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::saga::DefinitionName;
use orchestratum_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::{DefinitionPath, Source};
use crate::problem::{Document, Fault, Result};
use crate::routes::schema;

/// What became of a definition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DefinedSaga)]
pub(crate) struct Defined {
    #[schema(value_type = String, example = "order")]
    name: DefinitionName,
    /// From 1. The same content again is the version that it was.
    version: u32,
    /// What is allowed and may not be meant, each with its place.
    warnings: Vec<Fault>,
}

/// Give a saga definition
///
/// YAML or JSON, at most 256 KiB and 500 states. It is checked as a whole: a 422 tells every fault with its pointer, line and
/// column, and the name that was probably meant. What is stored never changes: other content under the same name is the next
/// version, with which sagas start from then on; those that run keep theirs.
#[utoipa::path(
    put, path = "/api/saga-definitions/{name}", tag = "sagas", operation_id = "put_saga_definition",
    params(("name" = String, Path, description = "The `name` in the definition", example = "greeting")),
    request_body(description = "The definition", content(
        (String = "application/yaml", example = "name: greeting\ninitial: Initial\nstates:\n  Initial:\n    on:\n      start: {target: Greeting}\n      \
            greeting_wanted: {target: Greeting}\n  Greeting:\n    on_entry:\n      - {name: echo, input: {to: \"${ input.to }\"}, \
            raises: {success: greeted, failure: failed}}\n    on:\n      greeted: {target: Done}\n      failed: {target: Failed}\n  \
            Done: {final: true}\n  Failed: {final: failed}\n"),
        (schema::Anything = "application/json", example = json!({
            "name": "greeting", "initial": "Initial", "states": {
                "Initial": {"on": {"start": {"target": "Greeting"}, "greeting_wanted": {"target": "Greeting"}}},
                "Greeting": {
                    "on_entry": [
                        {"name": "echo", "input": {"to": "${ input.to }"}, "raises": {"success": "greeted", "failure": "failed"}}
                    ],
                    "on": {"greeted": {"target": "Done"}, "failed": {"target": "Failed"}}
                },
                "Done": {"final": true},
                "Failed": {"final": "failed"}
            }
        })),
    )),
    responses(
        (status = 201, description = "A new version", body = Defined, headers(("Location" = String))),
        (status = 200, description = "The newest version has the same content", body = Defined, headers(("Location" = String))),
        (status = 413, description = "Larger than 256 KiB", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "Every fault, with its place", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    State(engine): State<Engine>,
    caller: Caller,
    DefinitionPath(name): DefinitionPath,
    Source(source): Source,
) -> Result<Response> {
    let defined = engine.put_definition(&name, source, Some(caller.actor())).await?;
    let status = if defined.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/api/saga-definitions/{}/versions/{}", defined.name, defined.version);
    let location = HeaderValue::from_str(&location).expect("a name is visible ASCII");
    let document = Defined {
        name: defined.name,
        version: defined.version,
        warnings: defined.warnings.0.into_iter().map(Fault::from).collect(),
    };
    Ok((status, [(header::LOCATION, location)], Json(document)).into_response())
}
