//! `POST /api/sagas/{id}/migrate`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use orchestratum_core::saga::STATES_MAX;
use orchestratum_engine::Engine;
use orchestratum_engine::given::states_of_versions;
use orchestratum_engine::sagas::{MigrateSaga, MigratedSaga};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::expected_version;
use super::document::{SagaDocument, document};
use crate::auth::Caller;
use crate::extract::{IfMatch, OptionalJson, SagaPath, bounded};
use crate::problem::{Document, Result};

/// By which version a saga is to go on. Unknown fields are refused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SagaMigration)]
pub(crate) struct MigrateSagaBody {
    /// Of its definition; the newest, if not given.
    #[serde(default)]
    #[schema(minimum = 1)]
    version: Option<u32>,
    /// What states are called in that version, where it is not as before, or which takes their place.
    #[serde(default, deserialize_with = "bounded::map::<_, _, STATES_MAX>")]
    #[schema(example = json!({"AwaitingPayment": "Paying"}))]
    states: Option<BTreeMap<String, String>>,
    /// Only tell what it would come to.
    #[serde(default)]
    dry_run: bool,
}

/// What a migration came to, or would come to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MigratedSaga)]
pub(crate) struct MigratedDocument {
    saga: SagaDocument,
    /// What begins anew, or means nothing in that version, in words for whoever decides.
    #[schema(example = json!(["the timers of Reserving begin now"]))]
    losses: Vec<String>,
}

/// Let a saga go on by another version of its definition
///
/// Its state keeps its name, or gets the one that `states` gives it; its timers are those of the new version, from now on. What the
/// state starts when it is entered is not started again; its tasks go on, and their ends are heard as the new version says. With
/// `dry_run` nothing is done: the answer tells what it would come to. One that runs by that version already stays as it is. Child
/// sagas keep theirs. The body may be left out.
#[utoipa::path(
    post, path = "/api/sagas/{id}/migrate", tag = "sagas", operation_id = "migrate_saga",
    params(
        ("id" = uuid::Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of it"),
    ),
    request_body(content = Option<MigrateSagaBody>, example = json!({"dry_run": true})),
    responses(
        (status = 200, description = "The saga after it, or as it would stand", body = MigratedDocument, headers(("ETag" = String))),
        (status = 404, description = "No such saga", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "It is over, or has not started", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "It has another version", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "There is no such version, or it has no state of that name", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn migrate(
    State(engine): State<Engine>,
    caller: Caller,
    SagaPath(saga): SagaPath,
    if_match: IfMatch,
    OptionalJson { value: body, .. }: OptionalJson<MigrateSagaBody>,
) -> Result<Response> {
    let request = MigrateSaga {
        saga,
        version: body.version,
        states: states_of_versions(body.states.unwrap_or_default())?,
        dry_run: body.dry_run,
        expected_version: expected_version(&engine, saga, &if_match).await?,
        actor: Some(caller.actor()),
    };
    let MigratedSaga { saga, losses } = engine.migrate_saga(request).await?;
    let saga = document(&engine, saga).await?;
    let etag = [(header::ETAG, saga.etag())];
    Ok((etag, Json(MigratedDocument { saga, losses })).into_response())
}
