//! Writing what was decided: one statement for tasks, attempts and dispatch rows, others only where they have rows.

use std::collections::BTreeMap;

use orchestratum_core::task::{GroupEnds, Progress};
use orchestratum_core::{GroupId, JsonText, Timestamp};
use sqlx::PgConnection;

use super::super::super::rows::{int2, int4, milliseconds, time};
use super::super::super::sagas::insert_task_ends;
use super::super::super::transaction::Abort;
use super::super::create::{insert_tasks, labels_text};
use crate::MissingFollowUp;
use crate::decide::{AttemptWrite, Decision, DispatchRow, Edits, LifeColumns, TaskWrite};

pub(super) async fn write(connection: &mut PgConnection, decision: &Decision<'_>, now: Timestamp) -> Result<(), Abort> {
    let Decision {
        outcomes: _,
        tasks,
        attempts: _,
        logs,
        audits,
        follow_ups: _,
        missing: _,
        gates: _,
        group_ends,
        saga_ends,
        // They wait their turn where a change takes the long way.
        taken: _,
    } = decision;
    if tasks.is_empty() {
        return Ok(());
    }
    write_states(connection, decision, now).await?;
    for task in tasks {
        write_edits(connection, task).await?;
    }
    if !logs.is_empty() {
        write_logs(connection, decision).await?;
    }
    if !audits.is_empty() {
        write_audits(connection, decision, now).await?;
    }
    if !group_ends.is_empty() {
        write_group_ends(connection, group_ends).await?;
    }
    if !saga_ends.is_empty() {
        insert_task_ends(connection, saga_ends, now).await?;
    }
    Ok(())
}

/// After the changes: what is unique sees how those have left the tasks that it might meet.
pub(super) async fn write_follow_ups(
    connection: &mut PgConnection,
    decision: &Decision<'_>,
    now: Timestamp,
) -> Result<(), Abort> {
    if !decision.follow_ups.is_empty() {
        let follow_ups: Vec<_> = decision.follow_ups.iter().collect();
        insert_tasks(connection, &follow_ups, now).await?;
    }
    if !decision.missing.is_empty() {
        write_missing(connection, &decision.missing).await?;
    }
    Ok(())
}

/// The values of one column.
pub(in super::super::super) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Attempts, runs, versions and budgets come from smaller types than these, so nothing is cut off.
fn integer(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn smallint(value: i64) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}

async fn write_states(connection: &mut PgConnection, decision: &Decision<'_>, now: Timestamp) -> Result<(), Abort> {
    let tasks = &decision.tasks;
    let attempts = &decision.attempts;
    let lives: Vec<LifeColumns> = tasks.iter().map(TaskWrite::columns).collect();
    let pending: Vec<DispatchRow> = tasks.iter().filter_map(|task| task.dispatch(now)).collect();
    let no_longer_pending: Vec<_> = tasks
        .iter()
        .filter(|task| task.was_pending && task.dispatch(now).is_none())
        .map(|task| task.after.id.0)
        .collect();
    let (written,): (i64,) = sqlx::query_as(WRITE_STATES)
        .bind(column(tasks, |task| task.after.id.0))
        .bind(column(&lives, |life| smallint(life.status)))
        .bind(column(&lives, |life| integer(life.run)))
        .bind(column(&lives, |life| integer(life.attempt)))
        .bind(column(&lives, |life| integer(life.version)))
        .bind(column(&lives, |life| smallint(life.retries_left)))
        .bind(column(&lives, |life| smallint(life.losses_left)))
        .bind(column(&lives, |life| life.cancel_requested))
        .bind(column(&lives, |life| life.worker.map(|worker| worker.0)))
        .bind(column(&lives, |life| life.started_at.map(time)))
        .bind(column(&lives, |life| life.finished_at.map(time)))
        .bind(column(tasks, |task| task.output.is_some()))
        .bind(column(tasks, |task| {
            task.output.iter().flatten().map(JsonText::as_str).next()
        }))
        .bind(column(&lives, |life| life.error.as_deref()))
        .bind(column(&lives, |life| time(life.scheduled_at)))
        .bind(column(&lives, |life| time(life.expires_at)))
        .bind(column(tasks, |task| task.after.target.as_str()))
        .bind(column(tasks, |task| i16::from(task.after.priority)))
        .bind(column(tasks, |task| int2(task.after.policy.max_retries)))
        .bind(column(tasks, |task| milliseconds(task.after.ttl)))
        .bind(column(tasks, |task| task.progress.is_some()))
        .bind(column(tasks, |task| task.progress.flatten().map(Progress::share)))
        .bind(&no_longer_pending)
        .bind(column(&pending, |row| row.task.0))
        .bind(column(&pending, |row| row.target.as_str()))
        .bind(column(&pending, |row| row.name.as_str()))
        .bind(column(&pending, |row| i16::from(row.priority)))
        .bind(column(&pending, |row| time(row.due_at)))
        .bind(column(&pending, |row| time(row.expires_at)))
        .bind(column(&pending, |row| row.state.code()))
        .bind(column(&pending, |row| time(row.publish_at)))
        .bind(column(attempts, |attempt| attempt.task.0))
        .bind(column(attempts, |attempt| int4(attempt.ended.attempt)))
        .bind(column(attempts, |attempt| int4(attempt.ended.run)))
        .bind(column(attempts, |attempt| attempt.ended.worker.map(|worker| worker.0)))
        .bind(column(attempts, |attempt| attempt.ended.outcome.code()))
        .bind(column(attempts, AttemptWrite::error_text))
        .bind(column(attempts, |attempt| time(attempt.ended.started_at)))
        .bind(column(attempts, |attempt| time(attempt.ended.ended_at)))
        .bind(column(attempts, |attempt| attempt.exit_code))
        .bind(column(attempts, |attempt| attempt.peak_memory_bytes.map(bytes)))
        .fetch_one(connection)
        .await?;
    assert_eq!(
        usize::try_from(written).ok(),
        Some(tasks.len()),
        "the rows are locked, so they are all there"
    );
    Ok(())
}

pub(super) fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const WRITE_STATES: &str = "
    WITH task AS (
        UPDATE tasks
        SET status = next.status,
            run = next.run,
            attempt = next.attempt,
            version = next.version,
            retries_left = next.retries_left,
            losses_left = next.losses_left,
            cancel_requested = next.cancel_requested,
            worker_id = next.worker_id,
            started_at = next.started_at,
            finished_at = next.finished_at,
            output = CASE WHEN next.sets_output THEN next.output ELSE tasks.output END,
            error = next.error,
            scheduled_at = next.scheduled_at,
            expires_at = next.expires_at,
            target = next.target,
            priority = next.priority,
            max_retries = next.max_retries,
            ttl_ms = next.ttl_ms,
            progress = CASE WHEN next.sets_progress THEN next.progress ELSE tasks.progress END
        FROM UNNEST(
            $1::uuid[], $2::smallint[], $3::integer[], $4::integer[], $5::integer[], $6::smallint[], $7::smallint[],
            $8::boolean[], $9::uuid[], $10::timestamptz[], $11::timestamptz[], $12::boolean[], $13::text[],
            $14::text[], $15::timestamptz[], $16::timestamptz[], $17::text[], $18::smallint[], $19::smallint[],
            $20::bigint[], $21::boolean[], $22::double precision[]
        ) AS next (
            id, status, run, attempt, version, retries_left, losses_left,
            cancel_requested, worker_id, started_at, finished_at, sets_output, output,
            error, scheduled_at, expires_at, target, priority, max_retries,
            ttl_ms, sets_progress, progress
        )
        WHERE tasks.id = next.id
        RETURNING tasks.id
    ),
    no_longer_pending AS (
        DELETE FROM dispatches WHERE task_id = ANY($23::uuid[])
    ),
    pending AS (
        INSERT INTO dispatches (task_id, target, name, priority, due_at, expires_at, state, publish_at)
        SELECT *
        FROM UNNEST(
            $24::uuid[], $25::text[], $26::text[], $27::smallint[], $28::timestamptz[], $29::timestamptz[],
            $30::smallint[], $31::timestamptz[]
        )
        -- It was pending before and is still, with another time, target or priority.
        ON CONFLICT (task_id) DO UPDATE
        SET target = EXCLUDED.target,
            priority = EXCLUDED.priority,
            due_at = EXCLUDED.due_at,
            expires_at = EXCLUDED.expires_at,
            state = EXCLUDED.state,
            publish_at = EXCLUDED.publish_at
    ),
    ended AS (
        INSERT INTO attempts (
            task_id, attempt, run, worker_id, outcome, error, started_at, ended_at, exit_code, peak_memory_bytes
        )
        SELECT *
        FROM UNNEST(
            $32::uuid[], $33::integer[], $34::integer[], $35::uuid[], $36::smallint[], $37::text[],
            $38::timestamptz[], $39::timestamptz[], $40::integer[], $41::bigint[]
        )
    )
    SELECT count(*) FROM task";

/// What only a caller changes; never many at once.
async fn write_edits(connection: &mut PgConnection, task: &TaskWrite) -> Result<(), Abort> {
    let Some(Edits {
        description,
        labels,
        input,
        timeout,
        limits,
    }) = &task.edits
    else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE tasks
        SET description = CASE WHEN $2 THEN $3 ELSE description END,
            labels = CASE WHEN $4 THEN $5::text::jsonb ELSE labels END,
            input = COALESCE($6, input),
            timeout_ms = CASE WHEN $7 THEN $8 ELSE timeout_ms END,
            limits = CASE WHEN $9 THEN $10 ELSE limits END
        WHERE id = $1",
    )
    .bind(task.after.id.0)
    .bind(description.is_some())
    .bind(description.as_ref().and_then(Option::as_deref))
    .bind(labels.is_some())
    .bind(labels.as_ref().and_then(labels_text))
    .bind(input.as_ref().map(JsonText::as_str))
    .bind(timeout.is_some())
    .bind(timeout.flatten().map(milliseconds))
    .bind(limits.is_some())
    .bind(limits.iter().flatten().map(JsonText::as_str).next())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_logs(connection: &mut PgConnection, decision: &Decision<'_>) -> Result<(), Abort> {
    let logs = &decision.logs;
    sqlx::query(
        "INSERT INTO task_logs (task_id, attempt, stream, sequence, content)
        SELECT * FROM UNNEST($1::uuid[], $2::integer[], $3::smallint[], $4::integer[], $5::text[])
        -- Chunks that were appended before, whose answer the worker did not get.
        ON CONFLICT DO NOTHING",
    )
    .bind(column(logs, |log| log.task.0))
    .bind(column(logs, |log| int4(log.attempt)))
    .bind(column(logs, |log| log.chunk.stream as i16))
    .bind(column(logs, |log| int4(log.chunk.sequence)))
    .bind(column(logs, |log| log.chunk.text.as_str()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_audits(connection: &mut PgConnection, decision: &Decision<'_>, now: Timestamp) -> Result<(), Abort> {
    let audits = &decision.audits;
    sqlx::query(
        "INSERT INTO task_changes (task_id, action, actor, detail, changed_at)
        SELECT task_id, action, actor, detail, $5
        FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[]) AS audit (task_id, action, actor, detail)",
    )
    .bind(column(audits, |(task, _)| task.0))
    .bind(column(audits, |(_, audit)| audit.action))
    .bind(column(audits, |(_, audit)| audit.actor.as_deref()))
    .bind(column(audits, |(_, audit)| audit.detail.as_deref()))
    .bind(time(now))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_missing(connection: &mut PgConnection, missing: &[MissingFollowUp]) -> Result<(), Abort> {
    sqlx::query(
        "INSERT INTO missing_follow_ups (parent_id, parent_run, edge, ordinal, name, cause, reason, missing_since)
        SELECT *
        FROM UNNEST(
            $1::uuid[], $2::integer[], $3::smallint[], $4::integer[], $5::text[], $6::smallint[], $7::text[],
            $8::timestamptz[]
        )",
    )
    .bind(column(missing, |one| one.parent.0))
    .bind(column(missing, |one| int4(one.place.run)))
    .bind(column(missing, |one| one.place.edge.code()))
    .bind(column(missing, |one| i32::from(one.place.index)))
    .bind(column(missing, |one| one.name.as_str()))
    .bind(column(missing, |one| one.cause.code()))
    .bind(column(missing, |one| one.reason.as_str()))
    .bind(column(missing, |one| time(one.since)))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_group_ends(
    connection: &mut PgConnection,
    group_ends: &BTreeMap<GroupId, GroupEnds>,
) -> Result<(), Abort> {
    let rows: Vec<(&GroupId, &GroupEnds)> = group_ends.iter().collect();
    sqlx::query(
        "INSERT INTO group_ends (group_id, ended, failed) SELECT * FROM UNNEST($1::uuid[], $2::integer[], $3::integer[])",
    )
    .bind(column(&rows, |(group, _)| group.0))
    .bind(column(&rows, |(_, ends)| ends.ended))
    .bind(column(&rows, |(_, ends)| ends.failed))
    .execute(connection)
    .await?;
    Ok(())
}
