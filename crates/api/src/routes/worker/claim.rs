//! `POST /api/worker/claim`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_engine::Engine;
use orchestratum_engine::external::{ClaimDraft, ClaimedExternally, NAMES_MAX, TARGETS_MAX};
use orchestratum_store::ExternalTask;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::changes::Begun;
use crate::extract::{Json, Whole, bounded};
use crate::problem::Result;
use crate::routes::schema;

/// What a worker offers, and how much it takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerClaim)]
pub(crate) struct Body {
    /// What people call it: one name for each process, such as its host and process id. With the key, and with what it offers,
    /// that is one worker.
    #[schema(min_length = 1, max_length = 200, example = "billing-1")]
    worker: String,
    /// The targets it serves: 1 to 16.
    #[serde(default = "default_targets", deserialize_with = "bounded::list::<_, _, TARGETS_MAX>")]
    #[schema(min_items = 1, max_items = 16, default = json!(["default"]))]
    targets: Vec<String>,
    /// The task names it offers: 1 to 100.
    #[serde(deserialize_with = "bounded::list::<_, _, NAMES_MAX>")]
    #[schema(min_items = 1, max_items = 100)]
    names: Vec<String>,
    /// The most tasks it takes. It may get fewer: also because their inputs are 16 MiB together.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000, default = 1)]
    max: Option<Whole<1, 1_000>>,
    /// How long the answer is held while there are none; longer than `api.max_wait_seconds` counts as that.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 60, default = 0)]
    wait_seconds: Option<f64>,
    /// How long each task is held without a heartbeat.
    #[serde(default)]
    #[schema(minimum = 5, maximum = 3600, default = 30)]
    lease_seconds: Option<f64>,
    /// The same claim again has the same tasks, as far as they are still held: 1 to 128 visible ASCII characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    request_id: Option<String>,
}

fn default_targets() -> Vec<String> {
    vec!["default".to_owned()]
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerClaimed)]
pub(crate) struct Answer {
    /// As which it is listed.
    worker_id: Uuid,
    tasks: Vec<ClaimedDocument>,
}

/// A task that is held by a lease, and all that is needed to run it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimedTask)]
pub(crate) struct ClaimedDocument {
    id: Uuid,
    /// With the id, what all reports name.
    attempt: u32,
    run: u32,
    name: String,
    target: String,
    #[schema(value_type = schema::Anything)]
    input: JsonText,
    #[schema(value_type = Option<schema::Limits>)]
    limits: Option<JsonText>,
    timeout_seconds: Option<f64>,
    #[schema(value_type = schema::Time)]
    started_at: Timestamp,
    /// By when the attempt must have ended: 3 s later it is ended.
    #[schema(value_type = schema::Time)]
    deadline_at: Timestamp,
    /// From then on it may run elsewhere; a heartbeat moves it.
    #[schema(value_type = schema::Time)]
    lease_expires_at: Timestamp,
    /// What the last attempt of this run kept with a heartbeat.
    #[schema(value_type = Option<schema::Anything>)]
    checkpoint: Option<JsonText>,
    /// The same for all attempts of the run: give it to others, so that an effect happens once.
    idempotency_key: String,
    /// The W3C `traceparent` of whoever created the task.
    trace_parent: Option<String>,
    request_id: Option<String>,
}

/// Claim tasks as an external worker
///
/// Each is held by a lease of its own. Keep it with heartbeats, and end it with one report. A claim whose answer got lost is
/// repeated with its `request_id`; without one, what it claimed runs again when its leases are over.
#[utoipa::path(
    post, path = "/api/worker/claim", tag = "worker", operation_id = "claim_tasks",
    request_body(content = Body, example = json!({
        "worker": "billing-1", "names": ["invoice.send"], "max": 10, "wait_seconds": 20, "request_id": "claim-17"
    })),
    responses((status = 200, description = "None, if none became ready in time", body = Answer))
)]
pub(crate) async fn claim(
    State(engine): State<Engine>,
    caller: Caller,
    begun: Begun,
    Json { value: body, bytes }: Json<Body>,
) -> Result<Response> {
    // Not held while it waits.
    drop(bytes);
    let Body {
        worker,
        targets,
        names,
        max,
        wait_seconds,
        lease_seconds,
        request_id,
    } = body;
    let draft = ClaimDraft {
        worker,
        targets,
        names,
        max: max.map_or(1, Whole::get),
        wait_seconds,
        lease_seconds,
        request_id,
    };
    let waits = wait_seconds.is_some_and(|seconds| seconds > 0.0);
    let key_id = caller.actor();
    let claimed = if waits {
        tokio::select! {
            claimed = engine.claim_external(draft, &key_id) => claimed?,
            // Nobody reads the answer. What a claim under way still takes has its leases.
            () = begun.client_gone() => return Ok(StatusCode::OK.into_response()),
        }
    } else {
        engine.claim_external(draft, &key_id).await?
    };
    let answer = Answer {
        worker_id: claimed.worker.0,
        tasks: claimed.tasks.into_iter().map(ClaimedDocument::from).collect(),
    };
    Ok(axum::Json(answer).into_response())
}

impl From<ExternalTask> for ClaimedDocument {
    fn from(held: ExternalTask) -> Self {
        let ExternalTask {
            task,
            lease_expires_at,
            checkpoint,
        } = held;
        Self {
            idempotency_key: format!("{}-{}", task.id, task.run),
            deadline_at: ClaimedExternally::deadline(task.expires_at, task.started_at, task.timeout),
            id: task.id.0,
            attempt: task.attempt,
            run: task.run,
            name: task.name.to_string(),
            target: task.target.to_string(),
            input: task.input,
            limits: task.limits,
            timeout_seconds: task.timeout.map(|timeout| timeout.as_secs_f64()),
            started_at: task.started_at,
            lease_expires_at,
            checkpoint,
            trace_parent: task.origin.trace_parent.map(|text| text.to_string()),
            request_id: task.origin.request_id.map(|text| text.to_string()),
        }
    }
}
