//! `PATCH /api/tasks/{id}`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use orchestratum_core::task::{Labels, TaskPatch};
use orchestratum_core::{JsonText, TaskId, Timestamp};
use orchestratum_engine::{Engine, Error};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::document::TaskDocument;
use super::limits::{self, LimitsPatch};
use crate::auth::Caller;
use crate::extract::{IfMatch, Json, Priority, Retries, TaskPath};
use crate::problem::{Code, Document, Problem, Result};
use crate::routes::schema;

/// Merging labels or limits is a read and a guarded write; each lost race means that another write went through.
const MERGE_TRIES: usize = 16;

/// A merge patch (RFC 7396): what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskPatch)]
#[expect(clippy::option_option, reason = "absent and null are two things in a merge patch")]
pub(crate) struct Body {
    /// `null` removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// Merged key by key; `null` for a key removes it, `null` for all removes all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    labels: Option<Option<BTreeMap<String, Option<String>>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 9)]
    priority: Option<Priority>,
    /// Replaced as a whole, not merged: it is carried byte for byte.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = schema::Anything)]
    input: Option<JsonText>,
    #[serde(default, deserialize_with = "given")]
    target: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 0.001)]
    ttl_seconds: Option<f64>,
    /// `null` removes the limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0.001)]
    timeout_seconds: Option<Option<f64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000)]
    max_retries: Option<Retries>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schema::Time>)]
    scheduled_at: Option<Timestamp>,
    /// Merged limit by limit; `null` for one removes it, `null` for all removes all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LimitsPatch>)]
    limits: Option<Option<LimitsPatch>>,
}

/// A field that is there, be it `null`; where the type has no `null`, that is a fault.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Change a task
///
/// While it is `Pending` everything listed can be changed; while it is `InProgress` the description, the labels and
/// `ttl_seconds`; afterwards nothing. What is so already is not written, and the `ETag` stays. With `If-Match` the change is made only if the task still has that `ETag`.
#[utoipa::path(
    patch, path = "/api/tasks/{id}", tag = "tasks", operation_id = "patch_task",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of the task"),
    ),
    request_body(
        content((Body = "application/json", example = json!({"priority": 5, "labels": {"team": "billing", "old": null}})),
                (Body = "application/merge-patch+json", example = json!({"priority": 5}))),
    ),
    responses(
        (status = 200, description = "The task as it is now", body = TaskDocument, headers(("ETag" = String))),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Its status does not allow the change", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "`If-Match` names another version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn patch(
    State(engine): State<Engine>,
    caller: Caller,
    TaskPath(task): TaskPath,
    if_match: IfMatch,
    Json { value: body, .. }: Json<Body>,
) -> Result<Response> {
    let (merges, patch) = body.split();
    let changed = if merges.is_empty() && if_match == IfMatch::Any {
        engine.patch(task, patch, None, Some(caller.actor())).await?
    } else {
        guarded(&engine, task, &merges, &patch, &if_match, &caller).await?
    };
    Ok(TaskDocument::from(changed).answer(StatusCode::OK))
}

type LabelMerge = Option<BTreeMap<String, Option<String>>>;

/// What depends on how the task is: `None` leaves it, `Some(None)` removes all.
#[expect(clippy::option_option, reason = "absent and null are two things in a merge patch")]
struct Merges {
    labels: Option<LabelMerge>,
    limits: Option<Option<LimitsPatch>>,
}

impl Merges {
    fn is_empty(&self) -> bool {
        self.labels.is_none() && self.limits.is_none()
    }
}

/// Reads, merges, and writes under the guard of the version that was read.
async fn guarded(
    engine: &Engine,
    task: TaskId,
    merges: &Merges,
    patch: &TaskPatch,
    if_match: &IfMatch,
    caller: &Caller,
) -> Result<orchestratum_store::Task> {
    for _ in 0..MERGE_TRIES {
        let found = engine.task(task).await?;
        let version = found.life.version;
        if let IfMatch::Versions(allowed) = if_match
            && !allowed.contains(&u64::from(version))
        {
            return Err(Error::VersionMismatch { task, current: version }.into());
        }
        let mut patch = patch.clone();
        if let Some(change) = &merges.limits {
            patch.limits = Some(limits::merged(found.spec.limits.as_ref(), change.clone())?);
        }
        patch.labels = merges.labels.clone().map(|merge| merged(found.spec.labels, merge));
        match engine.patch(task, patch, Some(version), Some(caller.actor())).await {
            // Somebody else was faster. A caller with `If-Match` learns that on the next look.
            Err(Error::VersionMismatch { .. }) => {}
            other => return Ok(other?),
        }
    }
    Err(Problem::new(
        Code::Overloaded,
        "the task changes faster than its labels or limits can be merged",
    ))
}

fn merged(mut labels: Labels, merge: LabelMerge) -> Labels {
    let Some(merge) = merge else { return Labels::new() };
    for (key, value) in merge {
        match value {
            Some(value) => labels.insert(key, value),
            None => labels.remove(&key),
        };
    }
    labels
}

impl Body {
    fn split(self) -> (Merges, TaskPatch) {
        let Self {
            description,
            labels,
            priority,
            input,
            target,
            ttl_seconds,
            timeout_seconds,
            max_retries,
            scheduled_at,
            limits,
        } = self;
        let patch = TaskPatch {
            description,
            labels: None,
            priority: priority.map(Priority::get),
            input,
            target,
            ttl_seconds,
            timeout_seconds,
            max_retries: max_retries.map(Retries::get),
            scheduled_at,
            limits: None,
        };
        (Merges { labels, limits }, patch)
    }
}
