//! Reading single tasks and what belongs to them.

use std::collections::BTreeMap;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, TaskError, TaskStatus};

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{
    damaged, get, id_list, maybe_worker_id, number, parsed, select_task, signed, task, task_id, timestamp, word,
};
use crate::decide::{self, DispatchState};
use crate::{ATTEMPTS_PAGE, Attempt, AttemptPage, BATCH_BYTES, Dispatch, Error, PAGE_BYTES, Task};

pub(super) async fn tasks(store: &SqliteStore, ids: &[TaskId]) -> Result<Vec<Task>, Error> {
    let rows = sqlx::query(select_task!(
        // Ids and sizes first, which are told without reading the texts.
        "FROM (
             SELECT
                 id,
                 place,
                 sum(size) OVER (ORDER BY place ROWS UNBOUNDED PRECEDING) AS bytes,
                 row_number() OVER (ORDER BY place) AS turn
             FROM (
                 SELECT
                     s.id,
                     w.key AS place,
                     octet_length(s.input) + coalesce(octet_length(s.output), 0)
                         + coalesce(octet_length(s.error), 0) + coalesce(octet_length(s.description), 0)
                         + coalesce(octet_length(s.follow_ups), 0) AS size
                 FROM json_each(?1) w
                 CROSS JOIN tasks s ON s.id = unhex(w.value)
             )
         ) p
         CROSS JOIN tasks t ON t.id = p.id
         LEFT JOIN dispatches d ON d.task_id = t.id
         WHERE p.bytes <= ?2 OR p.turn = 1
         ORDER BY p.place"
    ))
    .bind(id_list(ids.iter().copied()))
    .bind(signed(BATCH_BYTES))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter().map(task).collect()
}

fn status(code: i64, id: impl std::fmt::Display) -> Result<TaskStatus, Error> {
    i16::try_from(code)
        .ok()
        .and_then(TaskStatus::from_code)
        .ok_or_else(|| damaged("tasks", "status", id, format!("{code} is no status")))
}

pub(super) async fn statuses(store: &SqliteStore, ids: &[TaskId]) -> Result<Vec<(TaskId, TaskStatus)>, Error> {
    let rows = sqlx::query(
        "SELECT t.id, t.status
         FROM json_each(?1) w
         CROSS JOIN tasks t ON t.id = unhex(w.value)
         ORDER BY w.key",
    )
    .bind(id_list(ids.iter().copied()))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let id = task_id(row, "id")?;
            Ok((id, status(get(row, "status")?, id)?))
        })
        .collect()
}

pub(super) async fn attempts(store: &SqliteStore, task: TaskId, after: u32) -> Result<AttemptPage, Error> {
    let rows = sqlx::query(
        "SELECT attempt, run, worker_id, outcome, error, started_at, ended_at, exit_code, peak_memory_bytes, found
         FROM (
             SELECT *,
                 count(*) OVER () AS found,
                 sum(coalesce(octet_length(error), 0)) OVER (ORDER BY attempt ROWS UNBOUNDED PRECEDING) AS bytes,
                 row_number() OVER (ORDER BY attempt) AS turn
             FROM (SELECT * FROM attempts WHERE task_id = ?1 AND attempt > ?2 ORDER BY attempt LIMIT ?3)
         )
         WHERE bytes <= ?4 OR turn = 1
         ORDER BY attempt",
    )
    .bind(task.0)
    .bind(after)
    // One more than a page has tells whether there is another one.
    .bind(signed(ATTEMPTS_PAGE + 1))
    .bind(signed(PAGE_BYTES))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let items = rows
        .iter()
        .take(ATTEMPTS_PAGE)
        .map(|row| {
            let code: i64 = get(row, "outcome")?;
            let error: Option<&str> = get(row, "error")?;
            let peak: Option<i64> = get(row, "peak_memory_bytes")?;
            Ok(Attempt {
                attempt: number(row, "attempts", "attempt", task)?,
                run: number(row, "attempts", "run", task)?,
                worker: maybe_worker_id(row, "worker_id")?,
                outcome: i16::try_from(code)
                    .ok()
                    .and_then(AttemptOutcome::from_code)
                    .ok_or_else(|| damaged("attempts", "outcome", task, format!("{code} is no outcome")))?,
                error: error
                    .map(|text| parsed::<TaskError>(text, "attempts", "error", task))
                    .transpose()?,
                started_at: timestamp(row, "started_at")?,
                ended_at: timestamp(row, "ended_at")?,
                exit_code: get(row, "exit_code")?,
                peak_memory_bytes: peak
                    .map(|_| number(row, "attempts", "peak_memory_bytes", task))
                    .transpose()?,
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(decide::attempt_page(
        items,
        usize::try_from(found).unwrap_or(usize::MAX),
    ))
}

pub(super) async fn dispatch(store: &SqliteStore, task: TaskId) -> Result<Option<Dispatch>, Error> {
    let row = sqlx::query(
        "SELECT target, name, due_at, publish_at, expires_at, state
         FROM dispatches
         WHERE task_id = ?1",
    )
    .bind(task.0)
    .fetch_optional(&store.read)
    .await
    .map_err(sql)?;
    row.map(|row| {
        let state: i64 = get(&row, "state")?;
        let state = DispatchState::from_code(state)
            .ok_or_else(|| damaged("dispatches", "state", task, format!("{state} is no state")))?;
        Ok(Dispatch {
            target: word(&row, "dispatches", "target", task)?,
            name: word(&row, "dispatches", "name", task)?,
            due_at: timestamp(&row, "due_at")?,
            publish_at: timestamp(&row, "publish_at")?,
            expires_at: timestamp(&row, "expires_at")?,
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
        (SELECT count(*) FROM (SELECT 1 FROM tasks LIMIT ?1)) AS tasks,
        (SELECT count(*) FROM (SELECT 1 FROM dispatches LIMIT ?1)) AS pending,
        (SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_running WHERE status = 1 LIMIT ?1)) AS running,
        (SELECT count(*) FROM (
            SELECT 1 FROM tasks INDEXED BY tasks_problem WHERE status IN (3, 4, 5) AND status = 3 LIMIT ?1
        )) AS failed,
        (SELECT count(*) FROM (
            SELECT 1 FROM tasks INDEXED BY tasks_problem WHERE status IN (3, 4, 5) AND status = 4 LIMIT ?1
        )) AS expired,
        (SELECT count(*) FROM (
            SELECT 1 FROM tasks INDEXED BY tasks_problem WHERE status IN (3, 4, 5) AND status = 5 LIMIT ?1
        )) AS cancelled";

pub(super) async fn counts(store: &SqliteStore, most: usize) -> Result<BTreeMap<TaskStatus, u64>, Error> {
    let row = sqlx::query(COUNTS)
        .bind(signed(most))
        .fetch_one(&store.read)
        .await
        .map_err(sql)?;
    let count = |column| number::<u64>(&row, "tasks", column, "(count)");
    let mut counts = BTreeMap::from([
        (TaskStatus::Pending, count("pending")?),
        (TaskStatus::InProgress, count("running")?),
        (TaskStatus::Failed, count("failed")?),
        (TaskStatus::Expired, count("expired")?),
        (TaskStatus::Cancelled, count("cancelled")?),
    ]);
    let others: u64 = counts.values().sum();
    counts.insert(TaskStatus::Completed, count("tasks")?.saturating_sub(others));
    Ok(counts)
}
