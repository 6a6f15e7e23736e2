//! The row of a task and the task it stands for.

use orchestratum_core::task::{Labels, RetryPolicy, TaskSpec};
use orchestratum_core::{JsonText, Target, TaskId, TaskName, WorkerId};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::rows::{Place, Time, timestamp};
use crate::decide::LifeColumns;
use crate::{Error, Task};

/// The columns of [`TaskRow`], from `tasks`. Its dispatch row is looked up and not joined: the planner takes the filters
/// of a list for stricter than they are, and would read all dispatch rows for one page.
macro_rules! task_columns {
    () => {
        "tasks.id, tasks.name, tasks.target, tasks.description, tasks.input, tasks.labels::text AS labels,
        tasks.limits, tasks.backoff, tasks.ttl_ms, tasks.timeout_ms, tasks.max_retries, tasks.max_losses,
        tasks.priority, tasks.parent_id, tasks.created_at, tasks.scheduled_at, tasks.expires_at, tasks.status,
        tasks.run, tasks.attempt, tasks.version, tasks.retries_left, tasks.losses_left, tasks.cancel_requested,
        tasks.worker_id, tasks.started_at, tasks.finished_at, tasks.output, tasks.error,
        (SELECT due_at FROM dispatches WHERE task_id = tasks.id) AS due_at"
    };
}
pub(super) use task_columns;

#[derive(Debug, FromRow)]
pub(super) struct TaskRow {
    pub(super) id: Uuid,
    name: String,
    target: String,
    description: Option<String>,
    input: String,
    labels: Option<String>,
    limits: Option<String>,
    backoff: String,
    ttl_ms: i64,
    timeout_ms: Option<i64>,
    max_retries: i16,
    max_losses: i16,
    priority: i16,
    parent_id: Option<Uuid>,
    created_at: Time,
    scheduled_at: Time,
    expires_at: Time,
    status: i16,
    run: i32,
    attempt: i32,
    version: i32,
    retries_left: i16,
    losses_left: i16,
    cancel_requested: bool,
    worker_id: Option<Uuid>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    output: Option<String>,
    error: Option<String>,
    due_at: Option<Time>,
}

impl TaskRow {
    #[expect(
        clippy::too_many_lines,
        reason = "a list of columns, each named twice so that none is forgotten"
    )]
    pub(super) fn into_task(self) -> Result<Task, Error> {
        let Self {
            id,
            name,
            target,
            description,
            input,
            labels,
            limits,
            backoff,
            ttl_ms,
            timeout_ms,
            max_retries,
            max_losses,
            priority,
            parent_id,
            created_at,
            scheduled_at,
            expires_at,
            status,
            run,
            attempt,
            version,
            retries_left,
            losses_left,
            cancel_requested,
            worker_id,
            started_at,
            finished_at,
            output,
            error,
            due_at,
        } = self;
        let place = Place {
            table: "tasks",
            row: &id,
        };
        let worker = worker_id.map(WorkerId);
        let started_at = started_at.map(timestamp);
        let life = LifeColumns {
            status: status.into(),
            run: run.into(),
            attempt: attempt.into(),
            version: version.into(),
            retries_left: retries_left.into(),
            losses_left: losses_left.into(),
            cancel_requested,
            scheduled_at: timestamp(scheduled_at),
            expires_at: timestamp(expires_at),
            worker,
            started_at,
            finished_at: finished_at.map(timestamp),
            due_at: due_at.map(timestamp),
            error,
        };
        let spec = TaskSpec {
            id: TaskId(id),
            name: place.take("name", TaskName::new(name))?,
            target: place.take("target", Target::new(target))?,
            description,
            input: JsonText::trusted(input),
            labels: labels.map_or_else(
                || Ok(Labels::new()),
                |labels| place.take("labels", serde_json::from_str(&labels)),
            )?,
            priority: place.number("priority", priority)?,
            ttl: place.milliseconds("ttl_ms", ttl_ms)?,
            timeout: timeout_ms
                .map(|timeout| place.milliseconds("timeout_ms", timeout))
                .transpose()?,
            policy: policy(place, max_retries, max_losses, &backoff)?,
            limits: limits.map(JsonText::trusted),
            parent_id: parent_id.map(TaskId),
            created_at: timestamp(created_at),
        };
        Ok(Task {
            spec,
            life: life.decode(TaskId(id))?,
            output: output.map(JsonText::trusted),
            worker,
            started_at,
        })
    }
}

pub(super) fn policy(place: Place<'_>, max_retries: i16, max_losses: i16, backoff: &str) -> Result<RetryPolicy, Error> {
    Ok(RetryPolicy {
        max_retries: place.number("max_retries", max_retries)?,
        max_losses: place.number("max_losses", max_losses)?,
        backoff: place.take("backoff", serde_json::from_str(backoff))?,
    })
}
