//! `POST /api/calculations`

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::gitlab::{BranchName, CommitId, FilePath, ProjectPath};
use orchestratum_core::{JsonText, SagaId, TaskId};
use orchestratum_engine::Engine;
use orchestratum_engine::gitlab::{Calculate, Calculating, Delivery};
use serde::{Deserialize, Serialize};
use tracing::Span;
use utoipa::ToSchema;

use super::calculate_balance::{error, field};
use super::{BalanceStatus, for_client, patience};
use crate::auth::Caller;
use crate::canonical;
use crate::changes::Begun;
use crate::extract::{IDEMPOTENT_REPLAY, IdempotencyKey, Json, Origin, Wait, bounded};
use crate::problem::{Document, Result};
use crate::routes::schema;
use crate::routes::tasks::idempotency;

const CALL: &str = "POST /api/calculations";

/// A commit has no more.
const FILES_MAX: usize = 100;

/// A calculation. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCalculation)]
pub(crate) struct CalculationBody {
    /// `group/project`, or the number of a project.
    #[schema(value_type = String, example = "grp/proj")]
    project: ProjectPath,
    /// One that is there.
    #[schema(value_type = String, example = "issue/42")]
    branch: BranchName,
    /// With `celery` a task of the application, with `amqp` a queue.
    #[schema(min_length = 1, max_length = 255, example = "balance.condenser")]
    name: String,
    /// What is committed first: texts, or JSON, by the paths of the files; at most 100. If not given, what stands on the branch is
    /// calculated.
    #[serde(default, deserialize_with = "bounded::map::<_, _, FILES_MAX>")]
    #[schema(value_type = schema::Anything)]
    files: Option<BTreeMap<String, JsonText>>,
    /// What the calculation reads; the paths of `files`, if not given.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    input_files: Option<Vec<FilePath>>,
    /// What it writes.
    #[schema(value_type = String, example = "condenser_output.json")]
    output_file: FilePath,
    /// `celery` (if not given) or `amqp`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "celery")]
    delivery: Option<Delivery>,
    /// Named in the message of the commit.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1)]
    issue_iid: Option<NonZeroU64>,
}

/// A calculation that is on its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Calculation)]
pub(crate) struct CalculationDocument {
    #[schema(value_type = uuid::Uuid)]
    saga_id: SagaId,
    /// `correlationId` of the message.
    #[schema(value_type = uuid::Uuid)]
    correlation_id: SagaId,
    /// The task that carries the message; `null`: not yet, so ask again.
    #[schema(value_type = Option<uuid::Uuid>)]
    task_id: Option<TaskId>,
    /// What is calculated; `null`: not yet.
    #[schema(value_type = Option<String>)]
    commit_hash: Option<CommitId>,
    status: BalanceStatus,
    /// Where others were on the branch meanwhile: `expected`, `found`. With `completed` what it has calculated stands there all the
    /// same; with `failed` nothing was calculated.
    #[schema(value_type = Option<schema::Anything>)]
    drift: Option<JsonText>,
    /// With `failed` and `cancelled`: why.
    error: Option<String>,
}

impl From<Calculating> for CalculationDocument {
    fn from(calculating: Calculating) -> Self {
        let Calculating { saga, task, commit, .. } = calculating;
        let status = saga.instance.status();
        Self {
            saga_id: saga.id,
            correlation_id: saga.id,
            task_id: task,
            commit_hash: commit,
            status: status.into(),
            drift: field(&saga, "drift"),
            error: error(&saga, status),
        }
    }
}

/// Start a calculation
///
/// One commit with its files, and one message to whoever calculates, with the keys `correlationId`, `repoUrl`, `branch`, `commitHash`,
/// `input_files` and `output_file`: by the saga `calculation`, which also takes the result in. The answer is held until the message is on
/// its way, for 10 seconds unless `wait_seconds` (or `Prefer: wait=N`) says something else. The same body again is the same calculation;
/// with an `Idempotency-Key` it is that of the key, so that another key calculates anew. It fails where others have moved the branch
/// before it was calculated.
#[utoipa::path(
    post, path = "/api/calculations", tag = "gitlab", operation_id = "start_calculation",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; kept 7 days"),
        ("wait_seconds" = Option<f64>, Query, description = "From 0; longer than `api.max_wait_seconds` counts as that", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the tasks see it as `TRACEPARENT`"),
    ),
    request_body(content = CalculationBody, example = json!({
        "project": "grp/proj", "branch": "issue/42", "name": "balance.condenser", "issue_iid": 42,
        "files": {"condenser_input.json": {"steam_flow_kg_s": 210.5}}, "output_file": "condenser_output.json"
    })),
    responses(
        (status = 202, description = "It is on its way; with `Idempotent-Replay: true` it was before", body = CalculationDocument,
         headers(("Location" = String, description = "Its saga"), ("Idempotent-Replay" = Option<String>))),
        (status = 403, description = "The key has no such scope, or the token of GitLab no right to it", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "GitLab has no such project or branch, or the token may not see it", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else has changed the same in GitLab; or the saga waits for somebody who looks at it", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules, or GitLab refuses it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "GitLab does not accept the token, or its answer cannot be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "GitLab is not available, or none is named, or too many calls on it go on", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn start_calculation(
    State(engine): State<Engine>,
    caller: Caller,
    wait: Wait,
    begun: Begun,
    IdempotencyKey(key): IdempotencyKey,
    Origin(origin): Origin,
    Json { value: body, bytes }: Json<CalculationBody>,
) -> Result<Response> {
    let hash = canonical::hash(CALL, &bytes);
    drop(bytes);
    let files = body.files.unwrap_or_default();
    let input_files = match body.input_files {
        Some(files) => files,
        // Those that are no paths are told of when all are checked.
        None => files
            .keys()
            .filter_map(|path| FilePath::new(path.as_str()).ok())
            .collect(),
    };
    let request = Calculate {
        project: body.project,
        branch: body.branch,
        name: body.name,
        files,
        input_files,
        output_file: body.output_file,
        delivery: body.delivery.unwrap_or_default(),
        issue_iid: body.issue_iid.map(NonZeroU64::get),
        correlation_id: hash
            .iter()
            .fold(String::new(), |told, byte| format!("{told}{byte:02x}")),
        idempotency: key.map(|key| idempotency(key, hash)),
        origin,
        actor: Some(caller.actor()),
    };
    let Some(looked) = for_client(&begun, engine.look_at_calculation(request)).await else {
        return Ok(StatusCode::ACCEPTED.into_response());
    };
    // What is begun is done also for a client that has gone.
    let calculation = engine.calculate(looked?).await?;
    let (saga, replayed) = (calculation.saga.id, calculation.replayed);
    Span::current().record("saga.id", tracing::field::display(saga));
    let patience = patience(&engine, wait);
    let Some(calculating) = for_client(&begun, engine.until_sent(calculation, patience)).await else {
        return Ok(StatusCode::ACCEPTED.into_response());
    };
    let calculating = calculating?;
    let document = CalculationDocument::from(calculating);
    let mut response = (StatusCode::ACCEPTED, axum::Json(document)).into_response();
    let headers = response.headers_mut();
    let location = HeaderValue::from_str(&format!("/api/sagas/{saga}")).expect("a UUID is visible ASCII");
    headers.insert(header::LOCATION, location);
    if replayed {
        headers.insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
    }
    wait.note(headers);
    Ok(response)
}
