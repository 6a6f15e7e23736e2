//! A batch of nothing but successes, in one statement.

use orchestratum_core::{GroupId, JsonText, SagaId, Target, TaskId, TaskName, Timestamp};
use uuid::Uuid;

use super::super::super::database::{AfterUnknown, Database};
use super::super::super::rows::{Place, Time, int4, time, timestamp};
use super::write::bytes;
use crate::Error;
use crate::decide::{CompletedRow, Success};

/// The rows of those whose guard held.
pub(super) async fn apply(
    database: &Database,
    mut successes: Vec<Success<'_>>,
    now: Timestamp,
) -> Result<Vec<CompletedRow>, Error> {
    successes.sort_unstable_by_key(|success| success.task);
    let ids: Vec<Uuid> = successes.iter().map(|success| success.task.0).collect();
    let attempts: Vec<i32> = successes.iter().map(|success| int4(success.attempt)).collect();
    let outputs: Vec<Option<&str>> = successes
        .iter()
        .map(|success| success.output.map(JsonText::as_str))
        .collect();
    let exit_codes: Vec<Option<i32>> = successes.iter().map(|success| success.exit_code).collect();
    let peaks: Vec<Option<i64>> = successes
        .iter()
        .map(|success| success.peak_memory_bytes.map(bytes))
        .collect();
    let rows: Vec<Row> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(COMPLETE)
                .bind(&ids)
                .bind(&attempts)
                .bind(&outputs)
                .bind(&exit_codes)
                .bind(&peaks)
                .bind(time(now))
        })
        .await?;
    rows.into_iter().map(completed).collect()
}

pub const COMPLETE: &str = "
    WITH reported AS MATERIALIZED (
        -- The status they must have is a column here: as a constant below it would let the planner walk every running
        -- task through the index of those (seen: 40 ms instead of 1). So is how much of them may be settled the long way only:
        -- a table without statistics is taken to have one such row, and that is looked for first (seen: a tenth of the speed).
        SELECT *, 1::smallint AS status, 0 AS long_ways
        FROM UNNEST($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::bigint[])
            AS reported (task_id, attempt, output, exit_code, peak_memory_bytes)
    ),
    completed AS (
        UPDATE tasks
        SET status = 2,
            version = version + 1,
            cancel_requested = false,
            finished_at = $6,
            output = reported.output,
            error = NULL
        FROM reported
        WHERE tasks.id = reported.task_id
          AND tasks.status = reported.status
          AND tasks.attempt = reported.attempt
          -- What follows it is written with it, and what it gives back goes to others.
          AND num_nonnulls(tasks.follow_ups, tasks.conditions) = reported.long_ways
        RETURNING
            tasks.id, tasks.name, tasks.target, tasks.attempt, tasks.run, tasks.version, tasks.retries_left,
            tasks.losses_left, tasks.worker_id, tasks.started_at, tasks.scheduled_at, tasks.expires_at, tasks.group_id,
            tasks.saga_id, tasks.saga_number, tasks.saga_undoes, reported.output, reported.exit_code, reported.peak_memory_bytes
    ),
    ended AS (
        INSERT INTO attempts (
            task_id, attempt, run, worker_id, outcome, started_at, ended_at, exit_code, peak_memory_bytes
        )
        SELECT id, attempt, run, worker_id, 0, started_at, $6, exit_code, peak_memory_bytes
        FROM completed
    ),
    members AS (
        -- Of most batches none.
        INSERT INTO group_ends (group_id, ended, failed)
        SELECT group_id, count(*), 0 FROM completed WHERE group_id IS NOT NULL GROUP BY group_id
    ),
    of_sagas AS (
        INSERT INTO saga_events (saga_id, kind, number, data, received_at)
        SELECT saga_id, CASE WHEN saga_undoes THEN 3 ELSE 2 END, saga_number, COALESCE(output, 'null'), $6
        FROM completed
        WHERE saga_id IS NOT NULL
        -- What is to be undone is undone in the order of this, whichever way an end has taken.
        ORDER BY saga_id, saga_number
    )
    SELECT
        id, name, target, attempt, run, version, retries_left, losses_left, started_at, scheduled_at, expires_at, group_id,
        saga_id
    FROM completed";

type Row = (
    Uuid,
    String,
    String,
    i32,
    i32,
    i32,
    i16,
    i16,
    Time,
    Time,
    Time,
    Option<Uuid>,
    Option<Uuid>,
);

fn completed(row: Row) -> Result<CompletedRow, Error> {
    let (
        id,
        name,
        target,
        attempt,
        run,
        version,
        retries_left,
        losses_left,
        started_at,
        scheduled_at,
        expires_at,
        group,
        saga,
    ) = row;
    let place = Place {
        table: "tasks",
        row: &id,
    };
    Ok(CompletedRow {
        task: TaskId(id),
        name: place.take("name", TaskName::new(name))?,
        target: place.take("target", Target::new(target))?,
        attempt: place.number("attempt", attempt)?,
        run: place.number("run", run)?,
        version: place.number("version", version)?,
        retries_left: place.number("retries_left", retries_left)?,
        losses_left: place.number("losses_left", losses_left)?,
        started_at: timestamp(started_at),
        scheduled_at: timestamp(scheduled_at),
        expires_at: timestamp(expires_at),
        group: group.map(GroupId),
        saga: saga.map(SagaId),
    })
}
