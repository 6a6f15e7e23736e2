//! `POST /api/worker/reports`

use axum::extract::State;
use futures::future::join_all;
use orchestratum_core::TaskId;
use orchestratum_core::task::AttemptOutcome;
use orchestratum_engine::Engine;
use orchestratum_engine::external::Told;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::complete::Success;
use super::fail::Failure;
use super::release::Release;
use crate::auth::Caller;
use crate::extract::{Json, bounded};
use crate::problem::{Code, Problem, Result, Summary};
use crate::routes::schema;

const REPORTS_MAX: usize = 1_000;

/// Reports on attempts, each for itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerReports)]
pub(crate) struct Reports {
    #[serde(deserialize_with = "bounded::list::<_, _, REPORTS_MAX>")]
    #[schema(min_items = 1, max_items = 1000)]
    reports: Vec<OneReport>,
}

/// One of `complete`, `fail` and `release`, with what the call of that name takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerReport)]
pub(crate) struct OneReport {
    task_id: Uuid,
    attempt: u32,
    #[serde(default)]
    complete: Option<Success>,
    #[serde(default)]
    fail: Option<Failure>,
    #[serde(default)]
    release: Option<Release>,
}

/// In the order of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerReportsAnswer)]
pub(crate) struct Results {
    results: Vec<OneResult>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerReportAnswer)]
pub(crate) struct OneResult {
    task_id: Uuid,
    attempt: u32,
    /// Recorded, now or by the same report before.
    #[schema(value_type = Option<schema::Outcome>)]
    outcome: Option<AttemptOutcome>,
    /// Why it was not, as the single call would say it.
    problem: Option<Summary>,
}

/// Report on up to 1,000 attempts
///
/// Each is recorded or refused for itself: the answer is 200, and has a result for each.
#[utoipa::path(
    post, path = "/api/worker/reports", tag = "worker", operation_id = "report_claimed_tasks",
    request_body(content = Reports, example = json!({"reports": [
        {"task_id": "01936e5a-7c00-7000-8000-000000000000", "attempt": 1, "complete": {"output": {"sent": 3}}},
        {"task_id": "01936e5a-7c00-7000-8000-000000000001", "attempt": 2, "fail": {"error": {"message": "no such order"}}}
    ]})),
    responses((status = 200, description = "One result for each", body = Results))
)]
pub(crate) async fn reports(
    State(engine): State<Engine>,
    caller: Caller,
    Json { value: body, .. }: Json<Reports>,
) -> Result<axum::Json<Results>> {
    let count = body.reports.len();
    if count == 0 || count > REPORTS_MAX {
        let message = format!("must have 1 to {REPORTS_MAX} reports, not {count}");
        return Err(Problem::broken(Code::InvalidBody, "/reports", message));
    }
    let told = body
        .reports
        .into_iter()
        .enumerate()
        .map(|(index, report)| report.into_told(index))
        .collect::<Result<Vec<Told>>>()?;
    let key_id = caller.actor();
    // Together, so that they are recorded together.
    let results = join_all(told.into_iter().map(|told| one(&engine, told, &key_id))).await;
    Ok(axum::Json(Results { results }))
}

async fn one(engine: &Engine, told: Told, key_id: &str) -> OneResult {
    let (task, attempt) = (told.task, told.attempt);
    let (outcome, problem) = match engine.report(told, key_id).await {
        Ok(outcome) => (Some(outcome), None),
        Err(error) => (None, Some(Problem::from(error).summary())),
    };
    OneResult {
        task_id: task.0,
        attempt,
        outcome,
        problem,
    }
}

impl OneReport {
    fn into_told(self, index: usize) -> Result<Told> {
        let ends = [
            self.complete.map(Success::into_parts),
            self.fail.map(Failure::into_parts),
            self.release.map(Release::into_parts),
        ];
        let mut ends = ends.into_iter().flatten();
        let (Some((end, beside)), None) = (ends.next(), ends.next()) else {
            let message = "must have one of complete, fail and release";
            return Err(Problem::broken(Code::InvalidBody, format!("/reports/{index}"), message));
        };
        Ok(Told {
            task: TaskId(self.task_id),
            attempt: self.attempt,
            end,
            beside,
        })
    }
}
