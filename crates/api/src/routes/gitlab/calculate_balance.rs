//! `POST /saga/calculate-balance`

use std::num::NonZeroU64;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orchestratum_core::gitlab::{BranchName, ProjectPath};
use orchestratum_core::saga::SagaStatus;
use orchestratum_core::{JsonText, SagaId};
use orchestratum_engine::Engine;
use orchestratum_engine::gitlab::{CalculateBalance, Delivery, OnDrift};
use orchestratum_engine::sagas::SagaDetails;
use orchestratum_store::Saga;
use serde::{Deserialize, Serialize};
use tracing::Span;
use utoipa::ToSchema;

use super::{for_client, patience};
use crate::auth::Caller;
use crate::changes::Begun;
use crate::extract::{Json, Origin, Wait};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// Which balance is to be calculated. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBalance)]
pub(crate) struct BalanceBody {
    /// `group/project`, or the number of a project.
    #[schema(value_type = String, example = "grp/proj")]
    project: ProjectPath,
    /// The number of the issue in its project.
    #[schema(value_type = u64, minimum = 1, example = 42)]
    issue_iid: NonZeroU64,
    /// Where it is calculated: made where it is not there; `issue/{issue_iid}` if not given.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "issue/42")]
    branch: Option<BranchName>,
    /// Where the branch begins, and where it is merged to: one that is there, the default branch of the project if not given.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "main")]
    target_branch: Option<BranchName>,
    /// What is calculated before the balance, in this order: at most 20 names of a-z, 0-9 and `_`; `["condenser"]` if not given.
    #[serde(default)]
    dependencies: Option<Vec<String>>,
    /// `celery` (if not given) or `amqp`: how whoever calculates is told.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "celery")]
    delivery: Option<Delivery>,
    /// What becomes of it when somebody else has been on the branch: `rebase_inputs` (if not given) begins anew with what stands there,
    /// `stop` ends it as failed.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "rebase_inputs")]
    on_drift: Option<OnDrift>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BalanceStatus {
    Running,
    UserInputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl From<SagaStatus> for BalanceStatus {
    fn from(status: SagaStatus) -> Self {
        match status {
            SagaStatus::Running
            | SagaStatus::Compensating
            | SagaStatus::NeedsAttention
            | SagaStatus::CompensationStuck => Self::Running,
            SagaStatus::AwaitingInput => Self::UserInputRequired,
            SagaStatus::Completed => Self::Completed,
            SagaStatus::Failed | SagaStatus::TimedOut => Self::Failed,
            SagaStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// Where a calculation stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
pub(crate) struct BalanceDocument {
    #[schema(value_type = uuid::Uuid)]
    saga_id: SagaId,
    status: BalanceStatus,
    #[schema(value_type = Option<String>, example = "AWAIT_USER_CONDENSER_INPUT")]
    step: Option<JsonText>,
    /// What comes after the answer that is asked for.
    #[schema(value_type = Option<String>, example = "CONDENSER_CALCULATION")]
    next_step: Option<JsonText>,
    /// With `user_input_required`: what is asked. The answer goes to `POST /api/sagas/{id}/input`.
    prompt: Option<String>,
    /// Likewise: the JSON Schema of the answer.
    #[schema(value_type = Option<schema::Anything>)]
    schema: Option<JsonText>,
    #[schema(value_type = Option<String>, example = "issue/42")]
    branch: Option<JsonText>,
    /// Where the branch is expected to stand.
    #[schema(value_type = Option<String>)]
    commit: Option<JsonText>,
    /// Where others were on the branch meanwhile: `step`, `expected`, `found`.
    #[schema(value_type = Option<schema::Anything>)]
    drifts: Option<JsonText>,
    /// With `completed`: the content of `balance_output.json`.
    #[schema(value_type = Option<schema::Anything>)]
    result: Option<JsonText>,
    /// Its `iid` and `web_url`, where one was made.
    #[schema(value_type = Option<schema::Anything>)]
    merge_request: Option<JsonText>,
    /// With `failed` and `cancelled`: why.
    error: Option<String>,
}

impl From<SagaDetails> for BalanceDocument {
    fn from(SagaDetails { saga, awaiting, .. }: SagaDetails) -> Self {
        let status = saga.instance.status();
        let (prompt, schema) = awaiting.map_or((None, None), |asked| (Some(asked.prompt), asked.schema));
        Self {
            saga_id: saga.id,
            status: status.into(),
            step: field(&saga, "step"),
            next_step: field(&saga, "next_step"),
            prompt,
            schema,
            branch: field(&saga, "branch"),
            commit: field(&saga, "commit"),
            drifts: field(&saga, "drifts"),
            result: field(&saga, "result").filter(|_| status == SagaStatus::Completed),
            merge_request: field(&saga, "merge_request"),
            error: error(&saga, status),
        }
    }
}

pub(super) fn error(saga: &Saga, status: SagaStatus) -> Option<String> {
    match status {
        SagaStatus::Cancelled => Some("it was cancelled".to_owned()),
        SagaStatus::TimedOut => Some("it took longer than it may".to_owned()),
        SagaStatus::Failed => {
            let reason = field(saga, "reason").and_then(|reason| serde_json::from_str(reason.as_str()).ok());
            Some(reason.unwrap_or_else(|| format!("it ended in {}", saga.instance.state)))
        }
        _ => None,
    }
}

/// Of its context; `None` where it is `null`.
pub(super) fn field(saga: &Saga, name: &str) -> Option<JsonText> {
    let mut fields = saga.instance.context.iter();
    let (_, value) = fields.find(|(field, _)| field.as_str() == name)?;
    Some(value.clone()).filter(|value| value.as_str() != "null")
}

/// Calculate a balance
///
/// Starts the saga `calculate-balance` of a project, branch and issue, or finds the one that is not over: the call may be repeated. It
/// prepares the input of each dependency in the repository, asks for what a person has to enter, has it calculated, and asks for a merge
/// request. The answer is held until somebody is asked or it is over, for 10 seconds unless `wait_seconds` (or `Prefer: wait=N`) says
/// something else. Where GitLab stops it, the answer is a problem with the `saga_id`, and the same call takes it again.
#[utoipa::path(
    post, path = "/saga/calculate-balance", tag = "gitlab", operation_id = "calculate_balance",
    params(
        ("wait_seconds" = Option<f64>, Query, description = "From 0; longer than `api.max_wait_seconds` counts as that", minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the tasks see it as `TRACEPARENT`"),
    ),
    request_body(content = BalanceBody, example = json!({"project": "grp/proj", "issue_iid": 42})),
    responses(
        (status = 200, description = "Somebody is asked, or it is over", body = BalanceDocument),
        (status = 202, description = "It runs: ask again", body = BalanceDocument),
        (status = 403, description = "The key has no such scope, or the token of GitLab no right to it", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "GitLab has no such project, or no such `target_branch` for a balance that begins, or the token may not see it", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "The balance that is not over was begun otherwise; somebody else has changed the same in GitLab; or the saga waits for somebody who looks at it", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules; or a file of the repository is not what it should be", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "GitLab does not accept the token, or its answer cannot be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "GitLab is not available, or none is named, or too many calls on it go on", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn calculate_balance(
    State(engine): State<Engine>,
    caller: Caller,
    wait: Wait,
    begun: Begun,
    Origin(origin): Origin,
    Json { value: body, .. }: Json<BalanceBody>,
) -> Result<Response> {
    let request = CalculateBalance {
        project: body.project,
        issue_iid: body.issue_iid.get(),
        branch: body.branch,
        target_branch: body.target_branch,
        dependencies: body.dependencies,
        delivery: body.delivery,
        on_drift: body.on_drift,
        origin,
        actor: Some(caller.actor()),
    };
    let Some(looked) = for_client(&begun, engine.look_at_balance(request)).await else {
        return Ok(StatusCode::ACCEPTED.into_response());
    };
    // What is begun is done also for a client that has gone.
    let saga = engine.calculate_balance(looked?).await?;
    Span::current().record("saga.id", tracing::field::display(saga.id));
    let patience = patience(&engine, wait);
    let Some(told) = for_client(&begun, engine.until_told(saga, patience)).await else {
        return Ok(StatusCode::ACCEPTED.into_response());
    };
    let saga = told?;
    let details = engine.saga_details(vec![saga]).await?.pop().expect("one for each");
    let document = BalanceDocument::from(details);
    let status = match document.status {
        BalanceStatus::Running => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let mut response = (status, axum::Json(document)).into_response();
    wait.note(response.headers_mut());
    Ok(response)
}
