//! `POST /api/tasks`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::TaskId;
use orchestratum_engine::clock::Clock;
use orchestratum_engine::tasks::{CreateTasks, CreatedTasks, Replay};
use orchestratum_engine::{Engine, Error};
use orchestratum_store as store;
use tracing::Span;
use uuid::Uuid;

use super::body::TaskBody;
use super::document::TaskDocument;
use crate::canonical;
use crate::changes::Begun;
use crate::extract::{IDEMPOTENT_REPLAY, IdempotencyKey, Json, Origin, UNIQUE_CONFLICT, Wait};
use crate::problem::{Code, Document, Problem, Result};

/// How far the time in a chosen id may be from now: far enough for every clock, near enough to keep lists in order.
const CHOSEN_ID_MAX_DISTANCE_MICROS: u64 = 24 * 3_600 * 1_000_000;

/// All keys belong to one tenant for now.
const TENANT: &str = "default";

/// Create a task
///
/// The answer means that the task is stored durably. With `Prefer: wait=N` it is held until the task is over, for at
/// most N seconds. Repeat a request whose answer got lost with the same `Idempotency-Key`: it makes no second task.
#[utoipa::path(
    post, path = "/api/tasks", tag = "tasks", operation_id = "create_task",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; kept 7 days"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the task sees it as `TRACEPARENT`"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 visible ASCII characters; the task sees it as `ORCHESTRATUM_REQUEST_ID`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: hold the answer up to N seconds"),
    ),
    request_body(content = TaskBody, examples(
        ("echo" = (summary = "The smallest task", value = json!({"name": "echo", "input": {"hello": "world"}}))),
        ("shell" = (summary = "A shell script", value = json!({
            "name": "shell",
            "input": {"script": "echo \"$1, $WHOM\"\ncat", "args": ["hello"], "env": {"WHOM": "world"}, "stdin": "and more\n"}
        }))),
        ("http" = (summary = "A request to a server outside", value = json!({
            "name": "http", "max_retries": 3, "timeout_seconds": 20,
            "input": {
                "method": "POST", "url": "https://example.com/orders", "headers": {"X-Request-Source": "billing"},
                "body": {"order": 17}, "expected_statuses": ["2xx", 409]
            }
        }))),
        ("csharp" = (summary = "C#, where workers have a .NET SDK", value = json!({
            "name": "csharp", "timeout_seconds": 20, "limits": {"memory_mb": 512, "cpu_seconds": 10},
            "input": {"code": "var numbers = Input.As<int[]>()!;\nreturn numbers.Sum();", "input": [1, 2, 3]}
        }))),
        ("python" = (summary = "Python under a time-to-live", value = json!({
            "name": "python",
            "description": "nightly totals",
            "input": {"code": "def main(input):\n    return sum(input)", "input": [1, 2, 3]},
            "target": "default", "priority": 0, "ttl_seconds": 60, "timeout_seconds": 20, "max_retries": 2,
            "backoff": {"kind": "exponential", "delay_seconds": 1, "max_delay_seconds": 300, "jitter": true},
            "labels": {"team": "billing"}
        }))),
        ("chain" = (summary = "A chain: what follows sees how the task before it ended", value = json!({
            "name": "python",
            "input": {"code": "def main(input):\n    return sum(input)", "input": [1, 2, 3]},
            "on_success": [{"name": "echo", "input": {"total": "${ output.result }", "text": "the sum is ${ output.result }"}}],
            "on_failure": [{"name": "echo", "input": "${ error.kind }: ${ error.message }"}]
        }))),
        ("limited" = (summary = "At most three of a customer at a time, ten starts a second, and none that is there already", value = json!({
            "name": "echo", "input": {"customer_id": 17},
            "concurrency": {"key": "customer-${ input.customer_id }", "limit": 3},
            "rate": {"key": "echo", "limit": 10, "per_seconds": 1},
            "unique": {"by": ["name", "input"], "within_seconds": 3600, "states": ["Pending", "InProgress", "Completed"]}
        }))),
        ("later" = (summary = "A task for later", value = json!({"name": "echo", "delay_seconds": 10}))),
    )),
    responses(
        (status = 201, description = "Stored; with `Idempotent-Replay: true` it was stored before", body = TaskDocument,
         headers(("Location" = String), ("ETag" = String), ("Idempotent-Replay" = Option<String>))),
        (status = 200, description = "The task with this `id` was created before, from the same body; or, with `Unique-Conflict: true`, the task is unique and this one is like it", body = TaskDocument,
         headers(("Location" = String), ("ETag" = String), ("Unique-Conflict" = Option<String>))),
        (status = 409, description = "Another task has this `id`", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "The task of this `Idempotency-Key` was deleted", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(engine): State<Engine>,
    wait: Wait,
    IdempotencyKey(key): IdempotencyKey,
    Origin(origin): Origin,
    begun: Begun,
    Json { value: body, bytes }: Json<TaskBody>,
) -> Result<Response> {
    let id = body.id;
    let draft = body.into_draft("")?;
    // The hash costs more than all the rest, so it is made only for those who need it.
    let hash = if id.is_some() || key.is_some() {
        Some(canonical::hash("POST /api/tasks", &bytes))
    } else {
        None
    };
    // Not held while the task is waited for.
    drop(bytes);
    let request = CreateTasks {
        drafts: vec![draft],
        chosen_id: match id {
            Some(id) => Some(TaskId(check_chosen(id, engine.clock())?)).zip(hash),
            None => None,
        },
        idempotency: key.zip(hash).map(|(key, hash)| idempotency(key, hash)),
        indexed: false,
        origin,
    };
    let (status, told, task) = match engine.create(request).await? {
        CreatedTasks::Created(tasks) => (StatusCode::CREATED, None, tasks.into_iter().next()),
        CreatedTasks::Replayed(Replay { tasks, .. }) => {
            (StatusCode::CREATED, Some(IDEMPOTENT_REPLAY), tasks.into_iter().next())
        }
        CreatedTasks::Existing(task) => (StatusCode::OK, None, Some(*task)),
        CreatedTasks::Met {
            tasks: Replay { tasks, left_out },
            ..
        } => {
            // It was deleted at this very moment.
            if let Some(gone) = left_out.first() {
                return Err(Error::TaskNotFound(*gone).into());
            }
            (StatusCode::OK, Some(UNIQUE_CONFLICT), tasks.into_iter().next())
        }
    };
    let mut task = task.expect("one draft makes one task");
    let id = task.spec.id;
    Span::current().record("task.id", tracing::field::display(id));
    if let Some(patience) = wait.patience {
        // Not held while it is waited for.
        drop(task);
        task = tokio::select! {
            ended = engine.wait(id, patience) => ended?,
            // Nobody reads the answer.
            () = begun.client_gone() => return Ok(StatusCode::CREATED.into_response()),
        };
    }
    let document = TaskDocument::from(task);
    let location = document.location();
    let mut response = document.answer(status);
    response.headers_mut().insert(header::LOCATION, location);
    if let Some(told) = told {
        response.headers_mut().insert(told, HeaderValue::from_static("true"));
    }
    wait.note(response.headers_mut());
    Ok(response)
}

pub(crate) fn idempotency(key: String, body_hash: [u8; 32]) -> store::IdempotencyKey {
    store::IdempotencyKey {
        scope: TENANT.to_owned(),
        key,
        body_hash,
    }
}

/// Ids are the order of creation, so a chosen one must be about as old as what it is for.
pub(crate) fn check_chosen(id: Uuid, clock: &Clock) -> Result<Uuid> {
    const VERSION: usize = 7;
    let rule = "must be a UUIDv7 whose time is within 24 hours of now";
    let broken = || Problem::broken(Code::InvalidBody, "/id", format!("{rule}, not {id}"));
    let time = (id.get_version_num() == VERSION)
        .then(|| id.get_timestamp())
        .flatten()
        .ok_or_else(broken)?;
    let (seconds, nanos) = time.to_unix();
    let micros = seconds
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(nanos / 1_000));
    let now = u64::try_from(clock.now().as_micros()).unwrap_or(0);
    // Whoever chooses an id knows nothing of a clock that is moved by hand.
    if clock.is_manual() || micros.abs_diff(now) <= CHOSEN_ID_MAX_DISTANCE_MICROS {
        Ok(id)
    } else {
        Err(broken())
    }
}
