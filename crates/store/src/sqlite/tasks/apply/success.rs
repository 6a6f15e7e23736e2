//! A batch of nothing but successes: what the long way reads and writes whole is here a handful of columns.

use std::collections::{BTreeMap, HashMap};

use orchestratum_core::task::{AttemptOutcome, EndedAttempt, GroupEnds, TaskStatus};
use orchestratum_core::{GroupId, TaskId, Timestamp, WorkerId};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::super::rows::{
    maybe_group_id, maybe_saga_id, maybe_worker_id, number, part_of_saga, task_id, timestamp, word,
};
use super::super::super::sagas::insert_task_ends;
use super::super::super::values::{OverValues, over_values};
use super::write::{insert_attempts, insert_group_ends};
use crate::Error;
use crate::decide::{AttemptWrite, CompletedRow, SagaTaskEnd, Success};

/// The rows of those whose guard held.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    successes: &[Success<'_>],
    now: Timestamp,
) -> Result<Vec<CompletedRow>, Error> {
    static COMPLETE: OverValues = over_values!(
        "UPDATE tasks
         SET status = 2,
             version = version + 1,
             cancel_requested = 0,
             finished_at = ?,
             output = reported.column3,
             error = NULL
         FROM (VALUES ",
        "(?, ?, ?)",
        ") AS reported
         -- The plus keeps the planner from walking every running task through the index of those.
         WHERE tasks.id = reported.column1 AND +tasks.status = 1 AND tasks.attempt = reported.column2
           -- What follows it is written with it, the long way.
           AND tasks.follow_ups IS NULL
           -- And what it gives back goes to others.
           AND tasks.conditions IS NULL
         RETURNING
             id, name, target, attempt, run, version, retries_left, losses_left, worker_id, started_at, scheduled_at,
             expires_at, group_id, saga_id, saga_number, saga_undoes"
    );
    let rows = COMPLETE
        .fetch(
            connection,
            successes,
            |statement| statement.bind(now.as_micros()),
            |statement, success| {
                statement
                    .bind(success.task.0)
                    .bind(success.attempt)
                    .bind(success.output.map(|output| output.as_str().to_owned()))
            },
        )
        .await?;
    let reported: HashMap<TaskId, &Success<'_>> = successes.iter().map(|success| (success.task, success)).collect();
    let mut attempts = Vec::with_capacity(rows.len());
    let mut done = Vec::with_capacity(rows.len());
    let mut saga_ends = Vec::new();
    for row in &rows {
        let completed = completed(row)?;
        attempts.push(ended(
            reported[&completed.task],
            &completed,
            maybe_worker_id(row, "worker_id")?,
            now,
        ));
        if let Some(place) = part_of_saga(row, completed.task)? {
            saga_ends.push(SagaTaskEnd::success(place, reported[&completed.task].output));
        }
        done.push(completed);
    }
    insert_attempts(connection, &attempts).await?;
    let mut group_ends: BTreeMap<GroupId, GroupEnds> = BTreeMap::new();
    for group in done.iter().filter_map(|row| row.group) {
        let ends = GroupEnds::of(TaskStatus::InProgress, TaskStatus::Completed);
        group_ends.entry(group).or_default().add(ends);
    }
    insert_group_ends(connection, &group_ends).await?;
    insert_task_ends(connection, &saga_ends, now).await?;
    Ok(done)
}

/// The row of the attempt that ended with it.
fn ended(success: &Success<'_>, row: &CompletedRow, worker: Option<WorkerId>, now: Timestamp) -> AttemptWrite {
    AttemptWrite {
        task: row.task,
        ended: EndedAttempt {
            attempt: row.attempt,
            run: row.run,
            worker,
            outcome: AttemptOutcome::Success,
            error: None,
            started_at: row.started_at,
            ended_at: now,
        },
        exit_code: success.exit_code,
        peak_memory_bytes: success.peak_memory_bytes,
    }
}

fn completed(row: &SqliteRow) -> Result<CompletedRow, Error> {
    let id = task_id(row, "id")?;
    Ok(CompletedRow {
        task: id,
        name: word(row, "tasks", "name", id)?,
        target: word(row, "tasks", "target", id)?,
        attempt: number(row, "tasks", "attempt", id)?,
        run: number(row, "tasks", "run", id)?,
        version: number(row, "tasks", "version", id)?,
        retries_left: number(row, "tasks", "retries_left", id)?,
        losses_left: number(row, "tasks", "losses_left", id)?,
        started_at: timestamp(row, "started_at")?,
        scheduled_at: timestamp(row, "scheduled_at")?,
        expires_at: timestamp(row, "expires_at")?,
        group: maybe_group_id(row)?,
        saga: maybe_saga_id(row)?,
    })
}
