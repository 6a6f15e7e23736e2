//! The row of a task and the task it stands for.

use std::time::Duration;

use orchestratum_core::task::{
    Conditions, Edge, FollowUpPlace, FollowUps, GroupPlace, Labels, Progress, RetryPolicy, SagaPlace, ScheduledBy,
    TaskSpec,
};
use orchestratum_core::{GroupId, JsonText, Origin, SagaId, ScheduleId, Target, TaskId, TaskName, WorkerId};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::rows::{Place, Time, timestamp};
use crate::decide::{DispatchState, LifeColumns, Source, Stored, purpose};
use crate::{Error, Task};

/// The columns of [`StoredRow`], from `tasks`; `due_at` comes from the dispatch row, in a way of each statement's own.
macro_rules! stored_columns {
    () => {
        "tasks.id, tasks.name, tasks.target, tasks.priority, tasks.ttl_ms, tasks.max_retries, tasks.max_losses,
        tasks.backoff, tasks.status, tasks.run, tasks.attempt, tasks.version, tasks.retries_left, tasks.losses_left,
        tasks.cancel_requested, tasks.worker_id, tasks.started_at, tasks.finished_at, tasks.scheduled_at,
        tasks.expires_at, tasks.error, tasks.group_id, tasks.saga_id, tasks.saga_number, tasks.saga_undoes"
    };
}
pub(super) use stored_columns;

/// The columns of [`TaskRow`], from `tasks`. Its dispatch row is looked up and not joined: the planner takes the filters
/// of a list for stricter than they are, and would read all dispatch rows for one page.
macro_rules! task_columns {
    () => {
        concat!(
            $crate::postgres::tasks::row::stored_columns!(),
            ", tasks.description, tasks.input, tasks.labels::text AS labels, tasks.limits, tasks.timeout_ms,
            tasks.parent_id, tasks.parent_run, tasks.edge, tasks.ordinal, tasks.follow_ups, tasks.conditions, tasks.created_at,
            tasks.output, tasks.progress, tasks.schedule_id, tasks.slot, tasks.group_index,
            (SELECT due_at FROM dispatches WHERE task_id = tasks.id) AS due_at"
        )
    };
}
pub(super) use task_columns;

/// The columns of [`LockedRow`] beside those of [`StoredRow`]: conditions, and what follow-ups need, and only where there are some.
/// `$2` has the tasks whose reports bring some. The `dispatch_state` comes from the dispatch row, as `due_at` does.
macro_rules! source_columns {
    () => {
        "tasks.follow_ups, tasks.conditions,
        CASE WHEN tasks.follow_ups IS NOT NULL OR tasks.id = ANY($2::uuid[]) THEN tasks.input END AS source_input,
        CASE WHEN tasks.follow_ups IS NOT NULL OR tasks.id = ANY($2::uuid[]) THEN tasks.description END AS description,
        CASE WHEN tasks.follow_ups IS NOT NULL OR tasks.id = ANY($2::uuid[]) THEN tasks.labels::text END AS labels,
        tasks.parent_id, tasks.created_at, tasks.trace_parent, tasks.request_id"
    };
}
pub(super) use source_columns;

/// What a change needs to know of a task, and of one with follow-ups.
#[derive(Debug, FromRow)]
pub(super) struct LockedRow {
    #[sqlx(flatten)]
    pub(super) stored: StoredRow,
    dispatch_state: Option<i16>,
    conditions: Option<String>,
    follow_ups: Option<String>,
    source_input: Option<String>,
    description: Option<String>,
    labels: Option<String>,
    parent_id: Option<Uuid>,
    created_at: Time,
    trace_parent: Option<String>,
    request_id: Option<String>,
}

/// What a change needs to know of a task.
#[derive(Debug, FromRow)]
pub(super) struct StoredRow {
    pub(super) id: Uuid,
    name: String,
    target: String,
    priority: i16,
    ttl_ms: i64,
    max_retries: i16,
    max_losses: i16,
    backoff: String,
    pub(super) status: i16,
    run: i32,
    attempt: i32,
    version: i32,
    retries_left: i16,
    losses_left: i16,
    cancel_requested: bool,
    worker_id: Option<Uuid>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    pub(super) scheduled_at: Time,
    expires_at: Time,
    error: Option<String>,
    group_id: Option<Uuid>,
    saga_id: Option<Uuid>,
    saga_number: Option<i32>,
    saga_undoes: Option<bool>,
    pub(super) due_at: Option<Time>,
}

/// All of a task.
#[derive(Debug, FromRow)]
pub(super) struct TaskRow {
    #[sqlx(flatten)]
    pub(super) stored: StoredRow,
    description: Option<String>,
    input: String,
    labels: Option<String>,
    limits: Option<String>,
    timeout_ms: Option<i64>,
    parent_id: Option<Uuid>,
    parent_run: Option<i32>,
    edge: Option<i16>,
    ordinal: Option<i32>,
    follow_ups: Option<String>,
    conditions: Option<String>,
    created_at: Time,
    output: Option<String>,
    progress: Option<f64>,
    schedule_id: Option<Uuid>,
    slot: Option<Time>,
    group_index: Option<i32>,
}

/// The place of a follow-up behind its parent.
pub(super) fn place_of(
    place: &Place<'_>,
    parent_run: Option<i32>,
    edge: Option<i16>,
    ordinal: Option<i32>,
) -> Result<Option<FollowUpPlace>, Error> {
    let (Some(parent_run), Some(edge), Some(ordinal)) = (parent_run, edge, ordinal) else {
        return Ok(None);
    };
    Ok(Some(FollowUpPlace {
        run: place.number("parent_run", parent_run)?,
        edge: place.present("edge", Edge::from_code(edge))?,
        index: place.number("ordinal", ordinal)?,
    }))
}

fn member_of(place: &Place<'_>, group: Option<GroupId>, index: Option<i32>) -> Result<Option<GroupPlace>, Error> {
    let (Some(group), Some(index)) = (group, index) else {
        return Ok(None);
    };
    let index = place.number("group_index", index)?;
    Ok(Some(GroupPlace { group, index }))
}

fn part_of(
    place: &Place<'_>,
    saga: Option<Uuid>,
    number: Option<i32>,
    undoes: Option<bool>,
) -> Result<Option<SagaPlace>, Error> {
    let (Some(saga), Some(number), Some(undoes)) = (saga, number, undoes) else {
        return Ok(None);
    };
    Ok(Some(SagaPlace {
        saga: SagaId(saga),
        number: place.number("saga_number", number)?,
        purpose: purpose(undoes),
    }))
}

fn follow_ups_of(place: &Place<'_>, stored: Option<&str>) -> Result<FollowUps, Error> {
    stored.map_or_else(
        || Ok(FollowUps::default()),
        |stored| place.take("follow_ups", FollowUps::from_stored(stored)),
    )
}

pub(super) fn conditions_of(place: &Place<'_>, stored: Option<&str>) -> Result<Option<Box<Conditions>>, Error> {
    let conditions = stored.map(|stored| place.take("conditions", Conditions::from_stored(stored)));
    Ok(conditions.transpose()?.map(Box::new))
}

fn scheduled_by(schedule: Option<Uuid>, slot: Option<Time>) -> Option<ScheduledBy> {
    Some(ScheduledBy {
        schedule: ScheduleId(schedule?),
        slot: slot.map(timestamp),
    })
}

fn milliseconds_of(place: &Place<'_>, timeout: Option<i64>) -> Result<Option<Duration>, Error> {
    let timeout = timeout.map(|timeout| place.milliseconds("timeout_ms", timeout));
    timeout.transpose()
}

fn labels_of(place: &Place<'_>, stored: Option<&str>) -> Result<Labels, Error> {
    stored.map_or_else(
        || Ok(Labels::new()),
        |labels| place.take("labels", serde_json::from_str(labels)),
    )
}

impl LockedRow {
    pub(super) fn into_stored(self) -> Result<Stored, Error> {
        let Self {
            stored,
            dispatch_state,
            conditions,
            follow_ups,
            source_input,
            description,
            labels,
            parent_id,
            created_at,
            trace_parent,
            request_id,
        } = self;
        let id = stored.id;
        let mut stored = stored.into_stored()?;
        let place = Place {
            table: "tasks",
            row: &id,
        };
        stored.conditions = conditions_of(&place, conditions.as_deref())?;
        if stored.conditions.is_some() {
            let state = |code: i16| place.present("state (of its dispatch)", DispatchState::from_code(code.into()));
            stored.waits = dispatch_state.map(state).transpose()?;
        }
        let Some(input) = source_input else {
            return Ok(stored);
        };
        let trace_parent = trace_parent.map(|text| place.take("trace_parent", text.parse()));
        let request_id = request_id.map(|text| place.take("request_id", text.parse()));
        stored.source = Some(Box::new(Source {
            follow_ups: follow_ups_of(&place, follow_ups.as_deref())?,
            description,
            labels: labels_of(&place, labels.as_deref())?,
            input: JsonText::trusted(input),
            parent_id: parent_id.map(TaskId),
            created_at: timestamp(created_at),
            origin: Origin {
                trace_parent: trace_parent.transpose()?,
                request_id: request_id.transpose()?,
            },
        }));
        Ok(stored)
    }
}

impl StoredRow {
    pub(super) fn into_stored(self) -> Result<Stored, Error> {
        let Self {
            id,
            name,
            target,
            priority,
            ttl_ms,
            max_retries,
            max_losses,
            backoff,
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
            scheduled_at,
            expires_at,
            error,
            group_id,
            saga_id,
            saga_number,
            saga_undoes,
            due_at,
        } = self;
        let place = Place {
            table: "tasks",
            row: &id,
        };
        let id = TaskId(id);
        let (worker, started_at) = (worker_id.map(WorkerId), started_at.map(timestamp));
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
        Ok(Stored {
            id,
            name: place.take("name", TaskName::new(name))?,
            target: place.take("target", Target::new(target))?,
            priority: place.number("priority", priority)?,
            ttl: place.milliseconds("ttl_ms", ttl_ms)?,
            policy: RetryPolicy {
                max_retries: place.number("max_retries", max_retries)?,
                max_losses: place.number("max_losses", max_losses)?,
                backoff: place.take("backoff", serde_json::from_str(&backoff))?,
            },
            life: life.decode(id)?,
            worker,
            started_at,
            source: None,
            conditions: None,
            waits: None,
            group: group_id.map(GroupId),
            saga: part_of(&place, saga_id, saga_number, saga_undoes)?,
        })
    }
}

impl TaskRow {
    pub(super) fn into_task(self) -> Result<Task, Error> {
        let Self {
            stored,
            description,
            input,
            labels,
            limits,
            timeout_ms,
            parent_id,
            parent_run,
            edge,
            ordinal,
            follow_ups,
            conditions,
            created_at,
            output,
            progress,
            schedule_id,
            slot,
            group_index,
        } = self;
        let Stored {
            id,
            name,
            target,
            priority,
            ttl,
            policy,
            life,
            worker,
            started_at,
            group,
            saga,
            ..
        } = stored.into_stored()?;
        let place = Place {
            table: "tasks",
            row: &id,
        };
        let spec = TaskSpec {
            id,
            name,
            target,
            description,
            input: JsonText::trusted(input),
            labels: labels_of(&place, labels.as_deref())?,
            priority,
            ttl,
            timeout: milliseconds_of(&place, timeout_ms)?,
            policy,
            limits: limits.map(JsonText::trusted),
            parent_id: parent_id.map(TaskId),
            place: place_of(&place, parent_run, edge, ordinal)?,
            scheduled_by: scheduled_by(schedule_id, slot),
            follow_ups: follow_ups_of(&place, follow_ups.as_deref())?,
            conditions: conditions_of(&place, conditions.as_deref())?,
            group: member_of(&place, group, group_index)?,
            saga,
            created_at: timestamp(created_at),
        };
        Ok(Task {
            spec,
            life,
            output: output.map(JsonText::trusted),
            worker,
            started_at,
            progress: progress
                .map(|progress| place.take("progress", Progress::new(progress)))
                .transpose()?,
        })
    }
}
