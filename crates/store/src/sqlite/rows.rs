//! Between rows and the types of the domain.

use std::time::Duration;

use orchestratum_core::task::{
    Backoff, Conditions, Edge, FollowUpPlace, FollowUps, GroupPlace, Labels, Progress, RetryPolicy, SagaPlace,
    ScheduledBy, TaskSpec,
};
use orchestratum_core::{GroupId, JsonText, Origin, SagaId, ScheduleId, TaskId, Timestamp, WorkerId};
use serde::{Serialize, Serializer};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};
use uuid::Uuid;

use super::error::sql;
use crate::decide::{DispatchState, LifeColumns, Source, Stored, purpose};
use crate::{Error, Task};

/// A task as [`task`] reads it, whatever follows the `FROM`.
macro_rules! select_task {
    ($($from:literal),+) => {
        concat!(
            "SELECT t.id, t.name, t.target, t.description, t.input, t.labels, t.limits, t.backoff, t.ttl_ms, ",
            "t.timeout_ms, t.max_retries, t.max_losses, t.priority, t.parent_id, t.created_at, t.scheduled_at, ",
            "t.expires_at, t.status, t.run, t.attempt, t.version, t.retries_left, t.losses_left, t.cancel_requested, ",
            "t.worker_id, t.started_at, t.finished_at, t.output, t.error, t.progress, t.follow_ups, t.parent_run, t.edge, ",
            "t.ordinal, t.conditions, t.schedule_id, t.slot, t.group_id, t.group_index, t.saga_id, t.saga_number, t.saga_undoes, ",
            "d.due_at ",
            $($from),+
        )
    };
}
pub(super) use select_task;

/// An id inside a JSON text, for `unhex`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hex(pub(super) Uuid);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.simple().encode_lower(&mut Uuid::encode_buffer()))
    }
}

/// A batch as one bound value.
pub(super) fn json<T: Serialize + ?Sized>(rows: &T) -> String {
    serde_json::to_string(rows).expect("plain structs of text and numbers always make JSON")
}

/// Ids as one bound value.
pub(super) fn id_list(ids: impl IntoIterator<Item = TaskId>) -> String {
    json(&ids.into_iter().map(|id| Hex(id.0)).collect::<Vec<_>>())
}

/// SQLite's numbers are signed; counts and milliseconds of ours never come near the end.
pub(super) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    signed(duration.as_millis())
}

pub(super) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    column: &'static str,
) -> Result<T, Error> {
    row.try_get(column).map_err(sql)
}

pub(super) fn timestamp(row: &SqliteRow, column: &'static str) -> Result<Timestamp, Error> {
    get(row, column).map(Timestamp::from_micros)
}

pub(super) fn maybe_timestamp(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, Error> {
    get::<Option<i64>>(row, column).map(|micros| micros.map(Timestamp::from_micros))
}

pub(super) fn task_id(row: &SqliteRow, column: &'static str) -> Result<TaskId, Error> {
    get(row, column).map(TaskId)
}

/// Of a row of running tasks: its `id`, `worker_id` and `attempt`.
pub(super) fn running_attempt(row: &SqliteRow) -> Result<(TaskId, WorkerId, u32), Error> {
    let task = task_id(row, "id")?;
    let worker = WorkerId(get(row, "worker_id")?);
    Ok((task, worker, number(row, "tasks", "attempt", task)?))
}

pub(super) fn maybe_worker_id(row: &SqliteRow, column: &'static str) -> Result<Option<WorkerId>, Error> {
    get::<Option<Uuid>>(row, column).map(|id| id.map(WorkerId))
}

/// Names the row in what is said about a value that we never wrote.
pub(super) fn damaged(
    table: &'static str,
    column: &'static str,
    row: impl std::fmt::Display,
    detail: impl std::fmt::Display,
) -> Error {
    Error::Corrupt {
        table,
        column,
        row: row.to_string(),
        detail: detail.to_string(),
    }
}

/// A stored number as the type it has in Rust.
pub(super) fn number<T: TryFrom<i64>>(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
) -> Result<T, Error> {
    let value: i64 = get(row, column)?;
    T::try_from(value).map_err(|_| damaged(table, column, id, format!("{value} is out of range")))
}

/// A stored text as the checked type it was written from.
pub(super) fn word<T: std::str::FromStr>(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    checked(get(row, column)?, table, column, id)
}

/// The same where there may be none.
pub(super) fn maybe_word<T: std::str::FromStr>(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
) -> Result<Option<T>, Error>
where
    T::Err: std::fmt::Display,
{
    let text: Option<&str> = get(row, column)?;
    text.map(|text| checked(text, table, column, id)).transpose()
}

fn checked<T: std::str::FromStr>(
    text: &str,
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| damaged(table, column, id, error))
}

/// A stored JSON text as what was written.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(
    text: &str,
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| damaged(table, column, id, error))
}

fn life_columns(row: &SqliteRow) -> Result<LifeColumns, Error> {
    Ok(LifeColumns {
        status: get(row, "status")?,
        run: get(row, "run")?,
        attempt: get(row, "attempt")?,
        version: get(row, "version")?,
        retries_left: get(row, "retries_left")?,
        losses_left: get(row, "losses_left")?,
        cancel_requested: get(row, "cancel_requested")?,
        scheduled_at: timestamp(row, "scheduled_at")?,
        expires_at: timestamp(row, "expires_at")?,
        worker: maybe_worker_id(row, "worker_id")?,
        started_at: maybe_timestamp(row, "started_at")?,
        finished_at: maybe_timestamp(row, "finished_at")?,
        due_at: maybe_timestamp(row, "due_at")?,
        error: get(row, "error")?,
    })
}

fn duration(row: &SqliteRow, column: &'static str, id: TaskId) -> Result<Duration, Error> {
    number(row, "tasks", column, id).map(Duration::from_millis)
}

fn policy(row: &SqliteRow, id: TaskId) -> Result<RetryPolicy, Error> {
    Ok(RetryPolicy {
        max_retries: number(row, "tasks", "max_retries", id)?,
        max_losses: number(row, "tasks", "max_losses", id)?,
        backoff: parsed::<Backoff>(get(row, "backoff")?, "tasks", "backoff", id)?,
    })
}

/// A row of `select_task!`.
pub(super) fn task(row: &SqliteRow) -> Result<Task, Error> {
    let id = task_id(row, "id")?;
    let columns = life_columns(row)?;
    let (worker, started_at) = (columns.worker, columns.started_at);
    let timeout: Option<i64> = get(row, "timeout_ms")?;
    Ok(Task {
        spec: TaskSpec {
            id,
            name: word(row, "tasks", "name", id)?,
            target: word(row, "tasks", "target", id)?,
            description: get(row, "description")?,
            input: JsonText::trusted(get::<String>(row, "input")?),
            labels: labels(row, id)?,
            priority: number(row, "tasks", "priority", id)?,
            ttl: duration(row, "ttl_ms", id)?,
            timeout: timeout.map(|_| duration(row, "timeout_ms", id)).transpose()?,
            policy: policy(row, id)?,
            limits: get::<Option<String>>(row, "limits")?.map(JsonText::trusted),
            parent_id: get::<Option<Uuid>>(row, "parent_id")?.map(TaskId),
            place: place(row, "tasks", id)?,
            scheduled_by: scheduled_by(row)?,
            follow_ups: follow_ups(row, id)?,
            conditions: conditions(row, id)?,
            group: member(row, id)?,
            saga: part_of_saga(row, id)?,
            created_at: timestamp(row, "created_at")?,
        },
        life: columns.decode(id)?,
        output: get::<Option<String>>(row, "output")?.map(JsonText::trusted),
        worker,
        started_at,
        progress: progress(row, id)?,
    })
}

fn scheduled_by(row: &SqliteRow) -> Result<Option<ScheduledBy>, Error> {
    let Some(schedule) = get::<Option<Uuid>>(row, "schedule_id")? else {
        return Ok(None);
    };
    Ok(Some(ScheduledBy {
        schedule: ScheduleId(schedule),
        slot: maybe_timestamp(row, "slot")?,
    }))
}

fn labels(row: &SqliteRow, id: TaskId) -> Result<Labels, Error> {
    let labels: Option<&str> = get(row, "labels")?;
    let labels = labels.map(|text| parsed::<Labels>(text, "tasks", "labels", id));
    Ok(labels.transpose()?.unwrap_or_default())
}

fn follow_ups(row: &SqliteRow, id: TaskId) -> Result<FollowUps, Error> {
    match get::<Option<&str>>(row, "follow_ups")? {
        None => Ok(FollowUps::default()),
        Some(text) => FollowUps::from_stored(text).map_err(|error| damaged("tasks", "follow_ups", id, error)),
    }
}

pub(super) fn conditions(row: &SqliteRow, id: TaskId) -> Result<Option<Box<Conditions>>, Error> {
    let stored: Option<&str> = get(row, "conditions")?;
    let conditions = stored.map(Conditions::from_stored).transpose();
    let conditions = conditions.map_err(|error| damaged("tasks", "conditions", id, error))?;
    Ok(conditions.map(Box::new))
}

pub(super) fn group_id(row: &SqliteRow, column: &'static str) -> Result<GroupId, Error> {
    get(row, column).map(GroupId)
}

/// Of which a task is a member.
pub(super) fn maybe_group_id(row: &SqliteRow) -> Result<Option<GroupId>, Error> {
    get::<Option<Uuid>>(row, "group_id").map(|id| id.map(GroupId))
}

fn member(row: &SqliteRow, id: TaskId) -> Result<Option<GroupPlace>, Error> {
    let Some(group) = maybe_group_id(row)? else {
        return Ok(None);
    };
    let index = number(row, "tasks", "group_index", id)?;
    Ok(Some(GroupPlace { group, index }))
}

/// Of which a task is a part.
pub(super) fn maybe_saga_id(row: &SqliteRow) -> Result<Option<SagaId>, Error> {
    get::<Option<Uuid>>(row, "saga_id").map(|id| id.map(SagaId))
}

pub(super) fn part_of_saga(row: &SqliteRow, id: TaskId) -> Result<Option<SagaPlace>, Error> {
    let Some(saga) = maybe_saga_id(row)? else {
        return Ok(None);
    };
    Ok(Some(SagaPlace {
        saga,
        number: number(row, "tasks", "saga_number", id)?,
        purpose: purpose(get(row, "saga_undoes")?),
    }))
}

/// Which follow-up of its parent it is.
pub(super) fn place(row: &SqliteRow, table: &'static str, id: TaskId) -> Result<Option<FollowUpPlace>, Error> {
    let Some(edge) = get::<Option<i64>>(row, "edge")? else {
        return Ok(None);
    };
    let known = i16::try_from(edge).ok().and_then(Edge::from_code);
    Ok(Some(FollowUpPlace {
        run: number(row, table, "parent_run", id)?,
        edge: known.ok_or_else(|| damaged(table, "edge", id, format!("{edge} is no edge")))?,
        index: number(row, table, "ordinal", id)?,
    }))
}

fn source(row: &SqliteRow, id: TaskId) -> Result<Option<Box<Source>>, Error> {
    let Some(input) = get::<Option<String>>(row, "source_input")? else {
        return Ok(None);
    };
    Ok(Some(Box::new(Source {
        follow_ups: follow_ups(row, id)?,
        description: get(row, "description")?,
        labels: labels(row, id)?,
        input: JsonText::trusted(input),
        parent_id: get::<Option<Uuid>>(row, "parent_id")?.map(TaskId),
        created_at: timestamp(row, "created_at")?,
        origin: Origin {
            trace_parent: maybe_word(row, "tasks", "trace_parent", id)?,
            request_id: maybe_word(row, "tasks", "request_id", id)?,
        },
    })))
}

fn progress(row: &SqliteRow, id: TaskId) -> Result<Option<Progress>, Error> {
    let share: Option<f64> = get(row, "progress")?;
    let progress = share.map(Progress::new).transpose();
    progress.map_err(|error| damaged("tasks", "progress", id, error))
}

/// A row of what a change needs to know.
pub(super) fn stored(row: &SqliteRow) -> Result<Stored, Error> {
    let id = task_id(row, "id")?;
    let columns = life_columns(row)?;
    let (worker, started_at) = (columns.worker, columns.started_at);
    Ok(Stored {
        id,
        name: word(row, "tasks", "name", id)?,
        target: word(row, "tasks", "target", id)?,
        priority: number(row, "tasks", "priority", id)?,
        ttl: duration(row, "ttl_ms", id)?,
        policy: policy(row, id)?,
        life: columns.decode(id)?,
        worker,
        started_at,
        source: source(row, id)?,
        conditions: conditions(row, id)?,
        waits: get::<Option<i64>>(row, "dispatch_state")?.and_then(DispatchState::from_code),
        group: maybe_group_id(row)?,
        saga: part_of_saga(row, id)?,
    })
}
