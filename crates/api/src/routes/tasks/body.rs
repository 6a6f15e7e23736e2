//! The body that describes a new task, shared by the single call and the batch.

use std::collections::BTreeMap;

use orchestratum_core::task::{
    Backoff, ConcurrencyDraft, ConditionsDraft, FollowUpList, FollowUps, FollowUpsOrFailure, LABELS_MAX_COUNT,
    RateDraft, TaskDraft, UniqueDraft, Violations,
};
use orchestratum_core::{JsonText, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Priority, Retries, Whole, bounded};
use crate::problem::{Code, Problem, Result};
use crate::routes::schema;

/// A task to be created. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTask)]
pub(crate) struct TaskBody {
    /// A UUIDv7 of the caller's choice, made in the last or next 24 hours: the same id and body again is the same task.
    #[serde(default)]
    pub(crate) id: Option<Uuid>,
    /// The handler or executor: `[A-Za-z0-9._-]{1,100}`.
    #[schema(example = "python", pattern = "^[A-Za-z0-9._-]{1,100}$")]
    name: String,
    #[serde(default)]
    #[schema(max_length = 2000)]
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = schema::Anything)]
    input: Option<JsonText>,
    /// Who is to run it: workers serve targets.
    #[serde(default)]
    #[schema(default = "default", pattern = "^[A-Za-z0-9._-]{1,100}$")]
    target: Option<String>,
    /// Higher goes first.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 9, default = 0)]
    priority: Option<Priority>,
    /// The lifetime from `scheduled_at` over all attempts.
    #[serde(default)]
    #[schema(minimum = 0.001, default = 86400)]
    ttl_seconds: Option<f64>,
    /// The limit of one attempt.
    #[serde(default)]
    #[schema(minimum = 0.001)]
    timeout_seconds: Option<f64>,
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000, default = 0)]
    max_retries: Option<Retries>,
    /// How often a lost worker is forgiven in one run; 0 is "at most once".
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000, default = 3)]
    max_losses: Option<Retries>,
    #[serde(default)]
    #[schema(value_type = Option<schema::Backoff>)]
    backoff: Option<Backoff>,
    /// Nothing starts before. A time in the past means now.
    #[serde(default)]
    #[schema(value_type = Option<schema::Time>)]
    scheduled_at: Option<Timestamp>,
    /// Instead of `scheduled_at`.
    #[serde(default)]
    #[schema(minimum = 0)]
    delay_seconds: Option<f64>,
    /// At most 32, keys of 1 to 63 bytes, values of at most 255.
    #[serde(default, deserialize_with = "bounded::map::<_, _, LABELS_MAX_COUNT>")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    limits: Option<schema::Limits>,
    /// At most `limit` tasks of the key are ready or running at a time; the others wait.
    #[serde(default)]
    #[schema(value_type = Option<schema::Concurrency>)]
    concurrency: Option<ConcurrencyDraft>,
    /// Tasks of the key start at most so often.
    #[serde(default)]
    #[schema(value_type = Option<schema::Rate>)]
    rate: Option<RateDraft>,
    /// If a task like it is there, that one is the answer.
    #[serde(default)]
    #[schema(value_type = Option<schema::Unique>)]
    unique: Option<UniqueDraft>,
    /// What comes after it, if it is completed.
    #[serde(default)]
    #[schema(value_type = schema::FollowUps)]
    on_success: FollowUpList,
    /// If it failed for good.
    #[serde(default)]
    #[schema(value_type = schema::FollowUps)]
    on_failure: FollowUpList,
    /// If it was cancelled.
    #[serde(default)]
    #[schema(value_type = schema::FollowUpsOrFailure)]
    on_cancel: FollowUpsOrFailure,
    /// If its time-to-live ended.
    #[serde(default)]
    #[schema(value_type = schema::FollowUpsOrFailure)]
    on_expire: FollowUpsOrFailure,
}

impl TaskBody {
    /// The draft, whose rules the domain checks. `prefix` goes before every pointer.
    pub(crate) fn into_draft(self, prefix: &str) -> Result<TaskDraft> {
        let limits = self.limits.map(|limits| stored_limits(&limits, prefix)).transpose()?;
        Ok(TaskDraft {
            name: self.name,
            target: self.target,
            description: self.description,
            input: self.input,
            labels: self.labels.unwrap_or_default(),
            priority: self.priority.map(Priority::get),
            ttl_seconds: self.ttl_seconds,
            timeout_seconds: self.timeout_seconds,
            max_retries: self.max_retries.map(Retries::get),
            max_losses: self.max_losses.map(Retries::get),
            backoff: self.backoff,
            scheduled_at: self.scheduled_at,
            delay_seconds: self.delay_seconds,
            limits,
            parent_id: None,
            follow_ups: FollowUps::written(self.on_success, self.on_failure, self.on_cancel, self.on_expire),
            conditions: ConditionsDraft {
                concurrency: self.concurrency,
                rate: self.rate,
                unique: self.unique,
            },
        })
    }
}

pub(super) fn stored_limits(limits: &schema::Limits, prefix: &str) -> Result<JsonText> {
    let mut violations = Violations::default();
    for (name, broken) in [
        ("memory_mb", limits.memory_mb.and_then(Whole::broken)),
        ("cpu_seconds", limits.cpu_seconds.and_then(Whole::broken)),
        ("disk_mb", limits.disk_mb.and_then(Whole::broken)),
        ("processes", limits.processes.and_then(Whole::broken)),
    ] {
        if let Some(message) = broken {
            violations.add(format!("{prefix}/limits/{name}"), message);
        }
    }
    violations
        .into_result()
        .map_err(|violations| Problem::invalid(Code::InvalidBody, violations))?;
    JsonText::of(limits).map_err(|error| Problem::internal(&error))
}
