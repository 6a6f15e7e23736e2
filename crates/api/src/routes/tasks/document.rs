//! The task as it is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::task::{
    Backoff, Concurrency, Conditions, Edge, Progress, Rate, TaskError, TaskState, TaskStatus, Unique,
};
use orchestratum_core::{GroupId, JsonText, TaskId, Timestamp};
use orchestratum_store::Task;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::routes::schema;

/// A task: what was asked for, and how it stands. Every field is always there; what is not known is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task)]
pub(crate) struct TaskDocument {
    #[schema(value_type = Uuid)]
    id: TaskId,
    name: String,
    target: String,
    description: Option<String>,
    #[schema(value_type = schema::Anything)]
    input: JsonText,
    labels: BTreeMap<String, String>,
    priority: u8,
    #[serde(serialize_with = "seconds")]
    #[schema(value_type = f64, example = 60)]
    ttl_seconds: Duration,
    #[serde(serialize_with = "optional_seconds")]
    #[schema(value_type = Option<f64>, example = 20)]
    timeout_seconds: Option<Duration>,
    max_retries: u16,
    max_losses: u16,
    #[schema(value_type = schema::Backoff)]
    backoff: Backoff,
    #[schema(value_type = Option<schema::Limits>)]
    limits: Option<JsonText>,
    #[schema(value_type = schema::Status)]
    status: TaskStatus,
    /// 1 for the first run; each manual retry starts another.
    run: u32,
    /// The number of the newest attempt over all runs, 0 before the first.
    attempt: u32,
    retries_left: u16,
    losses_left: u16,
    /// How far the newest attempt is, from 0 to 1, by its own word; `null` if it has told nothing.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1, example = 0.4)]
    progress: Option<Progress>,
    #[schema(value_type = Option<schema::Anything>)]
    output: Option<JsonText>,
    #[schema(value_type = Option<schema::Error>)]
    error: Option<TaskError>,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    /// When its time-to-live begins.
    #[schema(value_type = schema::Time)]
    scheduled_at: Timestamp,
    /// When its time-to-live ends.
    #[schema(value_type = schema::Time)]
    expires_at: Timestamp,
    /// When a pending task may start: later than `scheduled_at` while it waits for a retry.
    #[schema(value_type = Option<schema::Time>)]
    due_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    finished_at: Option<Timestamp>,
    worker_id: Option<Uuid>,
    #[schema(value_type = Option<Uuid>)]
    parent_id: Option<TaskId>,
    /// The run of the parent that it followed.
    parent_run: Option<u32>,
    /// How that run ended.
    #[schema(value_type = Option<schema::Edge>)]
    edge: Option<&'static str>,
    /// With the value of its key.
    #[schema(value_type = Option<schema::Concurrency>)]
    concurrency: Option<Concurrency>,
    /// With the value of its key.
    #[schema(value_type = Option<schema::Rate>)]
    rate: Option<RateDocument>,
    #[schema(value_type = Option<schema::Unique>)]
    unique: Option<UniqueDocument>,
    /// The group of which it is a member.
    #[schema(value_type = Option<Uuid>)]
    group_id: Option<GroupId>,
    /// Its place in the group, from 0.
    group_index: Option<u16>,
    #[schema(value_type = schema::FollowUps)]
    on_success: Vec<JsonText>,
    #[schema(value_type = schema::FollowUps)]
    on_failure: Vec<JsonText>,
    #[schema(value_type = schema::FollowUps)]
    on_cancel: Vec<JsonText>,
    #[schema(value_type = schema::FollowUps)]
    on_expire: Vec<JsonText>,
    /// The saga of which it is a part.
    saga_id: Option<Uuid>,
    /// The schedule that made it.
    schedule_id: Option<Uuid>,
    /// The time of the schedule that it stands for; `null` where a caller triggered it.
    #[schema(value_type = Option<schema::Time>)]
    slot: Option<Timestamp>,
    cancel_requested: bool,
    /// Changed with every write but those of `progress`; the `ETag`.
    version: u32,
}

#[derive(Debug, Serialize)]
struct RateDocument {
    key: String,
    limit: u32,
    #[serde(serialize_with = "seconds")]
    per_seconds: Duration,
}

impl From<Rate> for RateDocument {
    fn from(rate: Rate) -> Self {
        Self {
            per_seconds: rate.per(),
            key: rate.key,
            limit: rate.limit,
        }
    }
}

#[derive(Debug, Serialize)]
struct UniqueDocument {
    by: JsonText,
    #[serde(serialize_with = "optional_seconds")]
    within_seconds: Option<Duration>,
    states: Vec<TaskStatus>,
}

impl From<Unique> for UniqueDocument {
    fn from(unique: Unique) -> Self {
        Self {
            by: unique.by,
            within_seconds: unique.within_ms.map(Duration::from_millis),
            states: unique.states,
        }
    }
}

impl From<Task> for TaskDocument {
    fn from(task: Task) -> Self {
        let Task {
            spec,
            life,
            output,
            worker,
            started_at,
            progress,
        } = task;
        let status = life.status();
        let (finished_at, error) = end_of(&life.state);
        let Conditions {
            concurrency,
            rate,
            unique,
        } = spec.conditions.map(|conditions| *conditions).unwrap_or_default();
        Self {
            id: spec.id,
            name: spec.name.to_string(),
            target: spec.target.to_string(),
            description: spec.description,
            input: spec.input,
            labels: spec.labels,
            priority: spec.priority,
            ttl_seconds: spec.ttl,
            timeout_seconds: spec.timeout,
            max_retries: spec.policy.max_retries,
            max_losses: spec.policy.max_losses,
            backoff: spec.policy.backoff,
            limits: spec.limits,
            status,
            run: life.run,
            attempt: life.attempt,
            retries_left: life.retries_left,
            losses_left: life.losses_left,
            progress,
            output,
            error,
            created_at: spec.created_at,
            scheduled_at: life.scheduled_at,
            expires_at: life.expires_at,
            due_at: due_at(&life.state),
            started_at,
            finished_at,
            worker_id: worker.map(|worker| worker.0),
            parent_id: spec.parent_id,
            parent_run: spec.place.map(|place| place.run),
            edge: spec.place.map(|place| place.edge.as_str()),
            concurrency,
            rate: rate.map(RateDocument::from),
            unique: unique.map(UniqueDocument::from),
            group_id: spec.group.map(|place| place.group),
            group_index: spec.group.map(|place| place.index),
            on_success: spec.follow_ups.of(Edge::Success).to_vec(),
            on_failure: spec.follow_ups.of(Edge::Failure).to_vec(),
            on_cancel: spec.follow_ups.of(Edge::Cancel).to_vec(),
            on_expire: spec.follow_ups.of(Edge::Expire).to_vec(),
            saga_id: spec.saga.map(|place| place.saga.0),
            schedule_id: spec.scheduled_by.map(|by| by.schedule.0),
            slot: spec.scheduled_by.and_then(|by| by.slot),
            cancel_requested: is_cancel_requested(&life.state),
            version: life.version,
        }
    }
}

fn is_cancel_requested(state: &TaskState) -> bool {
    matches!(
        state,
        TaskState::InProgress {
            cancel_requested: Some(_),
            ..
        }
    )
}

fn end_of(state: &TaskState) -> (Option<Timestamp>, Option<TaskError>) {
    match state {
        TaskState::Pending { .. } | TaskState::InProgress { .. } => (None, None),
        TaskState::Completed { finished_at } => (Some(*finished_at), None),
        TaskState::Failed { finished_at, error }
        | TaskState::Expired { finished_at, error }
        | TaskState::Cancelled { finished_at, error } => (Some(*finished_at), Some(error.clone())),
    }
}

fn due_at(state: &TaskState) -> Option<Timestamp> {
    match state {
        TaskState::Pending { due_at } => Some(*due_at),
        _ => None,
    }
}

impl TaskDocument {
    pub(crate) fn etag(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("\"{}\"", self.version)).expect("digits are visible ASCII")
    }

    /// The answer to a call on one task.
    pub(crate) fn answer(self, status: StatusCode) -> Response {
        let etag = [(header::ETAG, self.etag())];
        (status, etag, Json(self)).into_response()
    }

    pub(crate) fn location(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("/api/tasks/{}", self.id)).expect("a UUID is visible ASCII")
    }
}

/// Whole seconds without a fraction, as people write them.
pub(crate) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if duration.subsec_nanos() == 0 {
        serializer.serialize_u64(duration.as_secs())
    } else {
        serializer.serialize_f64(duration.as_secs_f64())
    }
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn optional_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}
