//! Reading tasks by their id, and what belongs to them.

use std::collections::{BTreeMap, HashMap};

use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_core::{Target, TaskId, TaskName, WorkerId};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, Time, int8, timestamp};
use super::row::{TaskRow, task_columns};
use crate::decide::{self, DispatchState};
use crate::{ATTEMPTS_PAGE, Attempt, AttemptPage, BATCH_BYTES, Dispatch, Error, PAGE_BYTES, Task};

pub(super) async fn task(database: &Database, task: TaskId) -> Result<Option<Task>, Error> {
    let row: Option<TaskRow> = database
        .optional(|| {
            sqlx::query_as(concat!("SELECT ", task_columns!(), " FROM tasks WHERE tasks.id = $1",)).bind(task.0)
        })
        .await?;
    row.map(TaskRow::into_task).transpose()
}

pub(super) async fn tasks(database: &Database, ids: &[TaskId]) -> Result<Vec<Task>, Error> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<TaskRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(concat!(
                "SELECT ",
                task_columns!(),
                " FROM tasks WHERE tasks.id = ANY(ARRAY(
                    SELECT id FROM (
                        SELECT
                            tasks.id,
                            -- Texts that are stored apart tell their sizes without being read.
                            sum(
                                octet_length(input) + COALESCE(octet_length(output), 0)
                                + COALESCE(octet_length(error), 0) + COALESCE(octet_length(description), 0)
                                + COALESCE(octet_length(follow_ups), 0)
                            ) OVER (ORDER BY place ROWS UNBOUNDED PRECEDING) AS bytes,
                            row_number() OVER (ORDER BY place) AS turn
                        FROM UNNEST($1::uuid[]) WITH ORDINALITY AS asked (id, place)
                        JOIN tasks ON tasks.id = asked.id
                    ) AS sized
                    WHERE bytes <= $2 OR turn = 1
                ))",
            ))
            .bind(&uuids)
            .bind(int8(BATCH_BYTES))
        })
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        found.insert(TaskId(row.stored.id), row.into_task()?);
    }
    Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn statuses(database: &Database, ids: &[TaskId]) -> Result<Vec<(TaskId, TaskStatus)>, Error> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(Uuid, i16)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as("SELECT id, status FROM tasks WHERE id = ANY($1)").bind(&uuids)
        })
        .await?;
    let found = rows
        .into_iter()
        .map(|(id, status)| Ok((TaskId(id), status_of(&id, status)?)))
        .collect::<Result<HashMap<_, _>, Error>>()?;
    Ok(ids.iter().filter_map(|id| Some((*id, *found.get(id)?))).collect())
}

fn status_of(row: &(dyn std::fmt::Display + Sync), code: i16) -> Result<TaskStatus, Error> {
    Place { table: "tasks", row }.present("status", TaskStatus::from_code(code))
}

type AttemptRow = (
    i32,
    i32,
    Option<Uuid>,
    i16,
    Option<String>,
    Time,
    Time,
    Option<i32>,
    Option<i64>,
    i64,
);

pub(super) async fn attempts(database: &Database, task: TaskId, after: u32) -> Result<AttemptPage, Error> {
    let rows: Vec<AttemptRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT attempt, run, worker_id, outcome, error, started_at, ended_at, exit_code, peak_memory_bytes, found
                FROM (
                    SELECT next.*,
                        count(*) OVER () AS found,
                        sum(COALESCE(octet_length(error), 0)) OVER (ORDER BY attempt ROWS UNBOUNDED PRECEDING) AS bytes,
                        row_number() OVER (ORDER BY attempt) AS turn
                    FROM (
                        SELECT * FROM attempts WHERE task_id = $1 AND attempt > $2 ORDER BY attempt LIMIT $3
                    ) AS next
                ) AS page
                WHERE bytes <= $4 OR turn = 1
                ORDER BY attempt",
            )
            .bind(task.0)
            .bind(i32::try_from(after).unwrap_or(i32::MAX))
            // One more than a page has tells whether there is another one.
            .bind(int8(ATTEMPTS_PAGE + 1))
            .bind(int8(PAGE_BYTES))
        })
        .await?;
    let found = rows.first().map_or(0, |row| row.9);
    let items = rows.into_iter().take(ATTEMPTS_PAGE).map(|row| attempt(task, row));
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    Ok(decide::attempt_page(items.collect::<Result<_, _>>()?, found))
}

fn attempt(task: TaskId, row: AttemptRow) -> Result<Attempt, Error> {
    let (attempt, run, worker, outcome, error, started_at, ended_at, exit_code, peak_memory_bytes, _found) = row;
    let row = format!("{task}/{attempt}");
    let place = Place {
        table: "attempts",
        row: &row,
    };
    Ok(Attempt {
        attempt: place.number("attempt", attempt)?,
        run: place.number("run", run)?,
        worker: worker.map(WorkerId),
        outcome: place.present("outcome", AttemptOutcome::from_code(outcome))?,
        error: place.task_error("error", error.as_deref())?,
        started_at: timestamp(started_at),
        ended_at: timestamp(ended_at),
        exit_code,
        peak_memory_bytes: peak_memory_bytes
            .map(|bytes| place.number("peak_memory_bytes", bytes))
            .transpose()?,
    })
}

pub(super) async fn dispatch(database: &Database, task: TaskId) -> Result<Option<Dispatch>, Error> {
    let row: Option<(String, String, Time, Time, Time, i16)> = database
        .optional(|| {
            sqlx::query_as(
                "SELECT target, name, due_at, publish_at, expires_at, state FROM dispatches WHERE task_id = $1",
            )
            .bind(task.0)
        })
        .await?;
    let place = Place {
        table: "dispatches",
        row: &task,
    };
    row.map(|(target, name, due_at, publish_at, expires_at, state)| {
        let state = place.present("state", DispatchState::from_code(state.into()))?;
        Ok(Dispatch {
            target: place.take("target", Target::new(target))?,
            name: place.take("name", TaskName::new(name))?,
            due_at: timestamp(due_at),
            publish_at: timestamp(publish_at),
            expires_at: timestamp(expires_at),
            delayed: state.is_delayed(),
            blocked: state.waits_for_key(),
        })
    })
    .transpose()
}

/// Each status from what has only its rows, all of it bounded. Completed tasks are what remains of all: an index for them
/// would cost every task a write more, and a table of millions is read from the index of its ids in a fraction of a
/// second.
const COUNTS: &str = "
    SELECT
        (SELECT count(*) FROM (SELECT FROM tasks LIMIT $1) AS tasks),
        (SELECT count(*) FROM (SELECT FROM dispatches LIMIT $1) AS pending),
        (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 1 LIMIT $1) AS running),
        (SELECT count(*) FROM (SELECT FROM tasks WHERE status IN (3, 4, 5) AND status = 3 LIMIT $1) AS failed),
        (SELECT count(*) FROM (SELECT FROM tasks WHERE status IN (3, 4, 5) AND status = 4 LIMIT $1) AS expired),
        (SELECT count(*) FROM (SELECT FROM tasks WHERE status IN (3, 4, 5) AND status = 5 LIMIT $1) AS cancelled)";

pub(super) async fn counts(database: &Database, most: usize) -> Result<BTreeMap<TaskStatus, u64>, Error> {
    let (all, pending, running, failed, expired, cancelled): (i64, i64, i64, i64, i64, i64) =
        database.one(|| sqlx::query_as(COUNTS).bind(int8(most))).await?;
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(BTreeMap::from([
        (TaskStatus::Pending, count(pending)),
        (TaskStatus::InProgress, count(running)),
        (
            TaskStatus::Completed,
            count(all - pending - running - failed - expired - cancelled),
        ),
        (TaskStatus::Failed, count(failed)),
        (TaskStatus::Expired, count(expired)),
        (TaskStatus::Cancelled, count(cancelled)),
    ]))
}
