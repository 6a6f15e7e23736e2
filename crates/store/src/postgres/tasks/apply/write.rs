//! Writing what was decided: one statement for tasks, attempts and dispatch rows, others only where they have rows.

use std::time::Duration;

use orchestratum_core::task::{TaskError, TaskState};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::super::rows::{
    Time, error_text, int2, int4, milliseconds, time, waiting,
};
use super::super::super::transaction::Abort;
use super::super::create::labels_text;
use super::decide::Effects;
use super::lock::{Locked, LockedTasks};

pub(super) async fn write(
    connection: &mut PgConnection,
    tasks: &LockedTasks,
    effects: &Effects<'_>,
    now: Timestamp,
) -> Result<(), Abort> {
    let mut changed: Vec<(TaskId, &Locked)> = tasks
        .iter()
        .filter(|(_, locked)| locked.changed)
        .map(|(id, locked)| (*id, locked))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    changed.sort_unstable_by_key(|(id, _)| *id);
    write_states(connection, &changed, effects, now).await?;
    let patched: Vec<(TaskId, &Locked)> =
        changed.into_iter().filter(|(_, locked)| locked.patch.is_some()).collect();
    if !patched.is_empty() {
        write_patches(connection, &patched).await?;
    }
    if effects.ended.iter().any(|(_, _, evidence)| !evidence.logs.is_empty()) {
        write_logs(connection, effects).await?;
    }
    if !effects.audits.is_empty() {
        write_audits(connection, effects, now).await?;
    }
    Ok(())
}

/// `finished_at` and `error` of a state.
fn ending(state: &TaskState) -> (Option<Timestamp>, Option<&TaskError>) {
    match state {
        TaskState::Pending { .. } | TaskState::InProgress { .. } => (None, None),
        TaskState::Completed { finished_at } => (Some(*finished_at), None),
        TaskState::Failed { finished_at, error }
        | TaskState::Expired { finished_at, error }
        | TaskState::Cancelled { finished_at, error } => (Some(*finished_at), Some(error)),
    }
}

fn cancel_requested(state: &TaskState) -> bool {
    matches!(state, TaskState::InProgress { cancel_requested: true, .. })
}

fn column<'a, T>(changed: &[(TaskId, &'a Locked)], value: impl Fn(&'a Locked) -> T) -> Vec<T> {
    changed.iter().map(|(_, locked)| value(locked)).collect()
}

async fn write_states(
    connection: &mut PgConnection,
    changed: &[(TaskId, &Locked)],
    effects: &Effects<'_>,
    now: Timestamp,
) -> Result<(), Abort> {
    let pending: Vec<(TaskId, &Locked, (i16, Time), Time)> = changed
        .iter()
        .filter_map(|(id, locked)| match locked.life.state {
            TaskState::Pending { due_at } => Some((*id, *locked, waiting(due_at, true, now), time(due_at))),
            TaskState::InProgress { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Expired { .. }
            | TaskState::Cancelled { .. } => None,
        })
        .collect();
    let no_longer_pending: Vec<Uuid> = changed
        .iter()
        .filter(|(_, locked)| locked.was_pending && !matches!(locked.life.state, TaskState::Pending { .. }))
        .map(|(id, _)| id.0)
        .collect();
    let ended = &effects.ended;
    let (written,): (i64,) = sqlx::query_as(WRITE_STATES)
        .bind(changed.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
        .bind(column(changed, |locked| locked.life.status().code()))
        .bind(column(changed, |locked| int4(locked.life.run)))
        .bind(column(changed, |locked| int4(locked.life.attempt)))
        .bind(column(changed, |locked| int4(locked.life.version)))
        .bind(column(changed, |locked| int2(locked.life.retries_left)))
        .bind(column(changed, |locked| int2(locked.life.losses_left)))
        .bind(column(changed, |locked| cancel_requested(&locked.life.state)))
        .bind(column(changed, |locked| locked.worker.map(|worker| worker.0)))
        .bind(column(changed, |locked| locked.started_at.map(time)))
        .bind(column(changed, |locked| ending(&locked.life.state).0.map(time)))
        .bind(column(changed, |locked| locked.output.as_ref().map(|output| output.as_str())))
        .bind(column(changed, |locked| ending(&locked.life.state).1.map(error_text)))
        .bind(column(changed, |locked| time(locked.life.scheduled_at)))
        .bind(column(changed, |locked| time(locked.life.expires_at)))
        .bind(column(changed, |locked| int2(locked.policy.max_retries)))
        .bind(column(changed, |locked| locked.ttl.map(milliseconds)))
        .bind(&no_longer_pending)
        .bind(pending.iter().map(|(id, ..)| id.0).collect::<Vec<_>>())
        .bind(pending.iter().map(|(_, locked, ..)| locked.target.as_str()).collect::<Vec<_>>())
        .bind(pending.iter().map(|(_, locked, ..)| locked.name.as_str()).collect::<Vec<_>>())
        .bind(pending.iter().map(|(_, locked, ..)| i16::from(locked.priority)).collect::<Vec<_>>())
        .bind(pending.iter().map(|(.., due_at)| *due_at).collect::<Vec<_>>())
        .bind(pending.iter().map(|(_, locked, ..)| time(locked.life.expires_at)).collect::<Vec<_>>())
        .bind(pending.iter().map(|(_, _, (state, _), _)| *state).collect::<Vec<_>>())
        .bind(pending.iter().map(|(_, _, (_, publish_at), _)| *publish_at).collect::<Vec<_>>())
        .bind(ended.iter().map(|(id, ..)| id.0).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, ended, _)| int4(ended.attempt)).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, ended, _)| int4(ended.run)).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, ended, _)| ended.worker.map(|worker| worker.0)).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, ended, _)| ended.outcome.code()).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, ended, _)| ended.error.as_ref().map(error_text)).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, ended, _)| time(ended.started_at)).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, ended, _)| time(ended.ended_at)).collect::<Vec<_>>())
        .bind(ended.iter().map(|(.., evidence)| evidence.exit_code).collect::<Vec<_>>())
        .bind(ended.iter().map(|(.., evidence)| evidence.peak_memory_bytes.map(bytes)).collect::<Vec<_>>())
        .fetch_one(connection)
        .await?;
    assert_eq!(written, changed.len() as i64, "the rows are locked, so they are all there");
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
            output = next.output,
            error = next.error,
            scheduled_at = next.scheduled_at,
            expires_at = next.expires_at,
            max_retries = next.max_retries,
            ttl_ms = COALESCE(next.ttl_ms, tasks.ttl_ms)
        FROM UNNEST(
            $1::uuid[], $2::smallint[], $3::integer[], $4::integer[], $5::integer[], $6::smallint[], $7::smallint[],
            $8::boolean[], $9::uuid[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[],
            $14::timestamptz[], $15::timestamptz[], $16::smallint[], $17::bigint[]
        ) AS next (
            id, status, run, attempt, version, retries_left, losses_left,
            cancel_requested, worker_id, started_at, finished_at, output, error,
            scheduled_at, expires_at, max_retries, ttl_ms
        )
        WHERE tasks.id = next.id
        RETURNING tasks.id
    ),
    no_longer_pending AS (
        DELETE FROM dispatches WHERE task_id = ANY($18::uuid[])
    ),
    pending AS (
        INSERT INTO dispatches (task_id, target, name, priority, due_at, expires_at, state, publish_at)
        SELECT *
        FROM UNNEST(
            $19::uuid[], $20::text[], $21::text[], $22::smallint[], $23::timestamptz[], $24::timestamptz[],
            $25::smallint[], $26::timestamptz[]
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
            $27::uuid[], $28::integer[], $29::integer[], $30::uuid[], $31::smallint[], $32::text[],
            $33::timestamptz[], $34::timestamptz[], $35::integer[], $36::bigint[]
        )
    )
    SELECT count(*) FROM task";

async fn write_patches(connection: &mut PgConnection, patched: &[(TaskId, &Locked)]) -> Result<(), Abort> {
    for (id, locked) in patched {
        let Some(patch) = &locked.patch else { continue };
        sqlx::query(
            "UPDATE tasks
            SET description = CASE WHEN $2 THEN $3 ELSE description END,
                labels = CASE WHEN $4 THEN $5::text::jsonb ELSE labels END,
                priority = COALESCE($6, priority),
                input = COALESCE($7, input),
                target = COALESCE($8, target),
                timeout_ms = CASE WHEN $9 THEN $10 ELSE timeout_ms END
            WHERE id = $1",
        )
        .bind(id.0)
        .bind(patch.description.is_some())
        .bind(patch.description.clone().flatten())
        .bind(patch.labels.is_some())
        .bind(patch.labels.as_ref().and_then(labels_text))
        .bind(patch.priority.map(i16::from))
        .bind(patch.input.as_ref().map(|input| input.as_str()))
        .bind(patch.target.as_ref().map(|target| target.as_str()))
        .bind(patch.timeout.is_some())
        .bind(patch.timeout.flatten().map(|timeout: Duration| milliseconds(timeout)))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_logs(connection: &mut PgConnection, effects: &Effects<'_>) -> Result<(), Abort> {
    let chunks: Vec<_> = effects
        .ended
        .iter()
        .flat_map(|(id, ended, evidence)| evidence.logs.iter().map(|chunk| (id.0, int4(ended.attempt), chunk)))
        .collect();
    sqlx::query(
        "INSERT INTO task_logs (task_id, attempt, stream, sequence, content)
        SELECT * FROM UNNEST($1::uuid[], $2::integer[], $3::smallint[], $4::integer[], $5::text[])",
    )
    .bind(chunks.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
    .bind(chunks.iter().map(|(_, attempt, _)| *attempt).collect::<Vec<_>>())
    .bind(chunks.iter().map(|(.., chunk)| chunk.stream as i16).collect::<Vec<_>>())
    .bind(chunks.iter().map(|(.., chunk)| int4(chunk.sequence)).collect::<Vec<_>>())
    .bind(chunks.iter().map(|(.., chunk)| chunk.text.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_audits(connection: &mut PgConnection, effects: &Effects<'_>, now: Timestamp) -> Result<(), Abort> {
    let audits = &effects.audits;
    sqlx::query(
        "INSERT INTO task_changes (task_id, action, actor, detail, changed_at)
        SELECT task_id, action, actor, detail, $5
        FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[]) AS audit (task_id, action, actor, detail)",
    )
    .bind(audits.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
    .bind(audits.iter().map(|(_, audit)| audit.action).collect::<Vec<_>>())
    .bind(audits.iter().map(|(_, audit)| audit.actor.as_deref()).collect::<Vec<_>>())
    .bind(audits.iter().map(|(_, audit)| audit.detail.as_deref()).collect::<Vec<_>>())
    .bind(time(now))
    .execute(connection)
    .await?;
    Ok(())
}
