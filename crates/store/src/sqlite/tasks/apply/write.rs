//! What was decided, in few statements over the whole batch.

use std::collections::BTreeMap;

use orchestratum_core::task::{GroupEnds, Progress};
use orchestratum_core::{GroupId, JsonText, TaskId, Timestamp};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::super::super::error::sql;
use super::super::super::rows::{Hex, json, milliseconds, signed};
use super::super::super::sagas::insert_task_ends;
use super::super::super::values::{OverValues, over_values};
use super::super::create::{insert_dispatches, insert_new};
use crate::decide::{AttemptWrite, Decision, LogWrite, TaskWrite};
use crate::{Audit, Error, MissingFollowUp, NewTask};

pub(super) async fn write(
    connection: &mut SqliteConnection,
    decision: &Decision<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    if decision.tasks.is_empty() {
        return Ok(());
    }
    update_tasks(connection, &decision.tasks).await?;
    update_edits(connection, &decision.tasks).await?;
    let (kept, gone): (Vec<_>, Vec<_>) = decision
        .tasks
        .iter()
        .map(|task| (task, task.dispatch(now)))
        .partition(|(_, dispatch)| dispatch.is_some());
    let gone: Vec<TaskId> = gone
        .into_iter()
        .filter(|(task, _)| task.was_pending)
        .map(|(task, _)| task.after.id)
        .collect();
    delete_dispatches(connection, &gone).await?;
    let kept: Vec<_> = kept.into_iter().filter_map(|(_, dispatch)| dispatch).collect();
    insert_dispatches(connection, &kept).await?;
    insert_attempts(connection, &decision.attempts).await?;
    insert_logs(connection, &decision.logs).await?;
    insert_audits(connection, &decision.audits, now).await?;
    insert_group_ends(connection, &decision.group_ends).await?;
    insert_task_ends(connection, &decision.saga_ends, now).await
}

/// After the changes: what is unique sees how those have left the tasks that it might meet.
pub(super) async fn write_follow_ups(
    connection: &mut SqliteConnection,
    decision: &Decision<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    if !decision.follow_ups.is_empty() {
        let follow_ups: Vec<&NewTask> = decision.follow_ups.iter().collect();
        insert_new(connection, &follow_ups, now).await?;
    }
    insert_missing(connection, &decision.missing).await
}

/// What waits to be counted for each group.
pub(super) async fn insert_group_ends(
    connection: &mut SqliteConnection,
    group_ends: &BTreeMap<GroupId, GroupEnds>,
) -> Result<(), Error> {
    for (group, ends) in group_ends {
        sqlx::query("INSERT INTO group_ends (group_id, ended, failed) VALUES (?1, ?2, ?3)")
            .bind(group.0)
            .bind(ends.ended)
            .bind(ends.failed)
            .execute(&mut *connection)
            .await
            .map_err(sql)?;
    }
    Ok(())
}

async fn insert_missing(connection: &mut SqliteConnection, missing: &[MissingFollowUp]) -> Result<(), Error> {
    for one in missing {
        sqlx::query(
            "INSERT INTO missing_follow_ups (
                 parent_id, parent_run, edge, ordinal, name, cause, reason, missing_since
             )
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(one.parent.0)
        .bind(one.place.run)
        .bind(one.place.edge.code())
        .bind(one.place.index)
        .bind(&one.name)
        .bind(one.cause.code())
        .bind(&one.reason)
        .bind(one.since.as_micros())
        .execute(&mut *connection)
        .await
        .map_err(sql)?;
    }
    Ok(())
}

/// The columns of the life of a task, its output and its progress.
async fn update_tasks(connection: &mut SqliteConnection, tasks: &[TaskWrite]) -> Result<(), Error> {
    static UPDATE: OverValues = over_values!(
        "WITH next (
             id, status, run, attempt, version, retries_left, losses_left, cancel_requested, scheduled_at, expires_at,
             worker_id, started_at, finished_at, error, output_changed, output, progress_changed, progress
         ) AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         UPDATE tasks
         SET status = n.status,
             run = n.run,
             attempt = n.attempt,
             version = n.version,
             retries_left = n.retries_left,
             losses_left = n.losses_left,
             cancel_requested = n.cancel_requested,
             scheduled_at = n.scheduled_at,
             expires_at = n.expires_at,
             worker_id = n.worker_id,
             started_at = n.started_at,
             finished_at = n.finished_at,
             error = n.error,
             output = iif(n.output_changed, n.output, tasks.output),
             progress = iif(n.progress_changed, n.progress, tasks.progress)
         FROM next n
         WHERE tasks.id = n.id"
    );
    UPDATE
        .execute(connection, tasks, |statement, task| {
            let columns = task.columns();
            let output = task.output.as_ref().and_then(Option::as_ref);
            statement
                .bind(task.after.id.0)
                .bind(columns.status)
                .bind(columns.run)
                .bind(columns.attempt)
                .bind(columns.version)
                .bind(columns.retries_left)
                .bind(columns.losses_left)
                .bind(columns.cancel_requested)
                .bind(columns.scheduled_at.as_micros())
                .bind(columns.expires_at.as_micros())
                .bind(columns.worker.map(|id| id.0))
                .bind(columns.started_at.map(Timestamp::as_micros))
                .bind(columns.finished_at.map(Timestamp::as_micros))
                .bind(columns.error)
                .bind(task.output.is_some())
                .bind(output.map(|output| output.as_str().to_owned()))
                .bind(task.progress.is_some())
                .bind(task.progress.flatten().map(Progress::share))
        })
        .await
}

/// The columns that only a caller changes.
async fn update_edits(connection: &mut SqliteConnection, tasks: &[TaskWrite]) -> Result<(), Error> {
    /// What is not there stays as it is, and null clears.
    #[derive(Serialize)]
    #[expect(clippy::option_option, reason = "whether it changes, and to what")]
    struct Element<'a> {
        id: Hex,
        target: &'a str,
        priority: u8,
        ttl_ms: i64,
        max_retries: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<Option<&'a str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        labels: Option<Option<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<Option<i64>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        limits: Option<Option<&'a str>>,
        input: Option<&'a str>,
    }
    let elements: Vec<Element<'_>> = tasks
        .iter()
        .filter_map(|task| {
            let edits = task.edits.as_ref()?;
            Some(Element {
                id: Hex(task.after.id.0),
                target: task.after.target.as_str(),
                priority: task.after.priority,
                ttl_ms: milliseconds(task.after.ttl),
                max_retries: task.after.policy.max_retries,
                description: edits.description.as_ref().map(Option::as_deref),
                labels: edits
                    .labels
                    .as_ref()
                    .map(|labels| (!labels.is_empty()).then(|| json(labels))),
                timeout_ms: edits.timeout.map(|timeout| timeout.map(milliseconds)),
                limits: edits
                    .limits
                    .as_ref()
                    .map(|limits| limits.as_ref().map(JsonText::as_str)),
                input: edits.input.as_ref().map(JsonText::as_str),
            })
        })
        .collect();
    if elements.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE tasks
         SET target = w.value ->> 'target',
             priority = w.value ->> 'priority',
             ttl_ms = w.value ->> 'ttl_ms',
             max_retries = w.value ->> 'max_retries',
             description = iif(json_type(w.value, '$.description') IS NULL, tasks.description, w.value ->> 'description'),
             labels = iif(json_type(w.value, '$.labels') IS NULL, tasks.labels, w.value ->> 'labels'),
             timeout_ms = iif(json_type(w.value, '$.timeout_ms') IS NULL, tasks.timeout_ms, w.value ->> 'timeout_ms'),
             limits = iif(json_type(w.value, '$.limits') IS NULL, tasks.limits, w.value ->> 'limits'),
             input = coalesce(w.value ->> 'input', tasks.input)
         FROM json_each(?1) w
         WHERE tasks.id = unhex(w.value ->> 'id')",
    )
    .bind(json(&elements))
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

async fn delete_dispatches(connection: &mut SqliteConnection, ids: &[TaskId]) -> Result<(), Error> {
    static DELETE: OverValues = over_values!("DELETE FROM dispatches WHERE task_id IN (VALUES ", "(?)", ")");
    DELETE
        .execute(connection, ids, |statement, id| statement.bind(id.0))
        .await
}

pub(super) async fn insert_attempts(connection: &mut SqliteConnection, attempts: &[AttemptWrite]) -> Result<(), Error> {
    static INSERT: OverValues = over_values!(
        "WITH new AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         INSERT INTO attempts (
             task_id, attempt, run, worker_id, outcome, error, started_at, ended_at, exit_code, peak_memory_bytes
         )
         SELECT * FROM new WHERE column1 IS NOT NULL"
    );
    INSERT
        .execute(connection, attempts, |statement, write| {
            let ended = &write.ended;
            statement
                .bind(write.task.0)
                .bind(ended.attempt)
                .bind(ended.run)
                .bind(ended.worker.map(|id| id.0))
                .bind(ended.outcome.code())
                .bind(write.error_text())
                .bind(ended.started_at.as_micros())
                .bind(ended.ended_at.as_micros())
                .bind(write.exit_code)
                .bind(write.peak_memory_bytes.map(signed))
        })
        .await
}

async fn insert_logs(connection: &mut SqliteConnection, logs: &[LogWrite<'_>]) -> Result<(), Error> {
    if logs.is_empty() {
        return Ok(());
    }
    let elements: Vec<(Hex, u32, u8, u32, &str)> = logs
        .iter()
        .map(|log| {
            let chunk = log.chunk;
            (
                Hex(log.task.0),
                log.attempt,
                chunk.stream as u8,
                chunk.sequence,
                chunk.text.as_str(),
            )
        })
        .collect();
    sqlx::query(
        "INSERT INTO task_logs (task_id, attempt, stream, sequence, content)
         SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4
         FROM json_each(?1)
         WHERE TRUE
         -- Chunks that were appended before, whose answer the worker did not get.
         ON CONFLICT DO NOTHING",
    )
    .bind(json(&elements))
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

async fn insert_audits(
    connection: &mut SqliteConnection,
    audits: &[(TaskId, &Audit)],
    now: Timestamp,
) -> Result<(), Error> {
    for (task, audit) in audits {
        insert_audit(connection, Some(*task), audit, now).await?;
    }
    Ok(())
}

/// One row of the audit; callers change one thing at a time, so these are few.
pub(in super::super::super) async fn insert_audit(
    connection: &mut SqliteConnection,
    task: Option<TaskId>,
    audit: &Audit,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO task_changes (task_id, action, actor, detail, changed_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(task.map(|id| id.0))
    .bind(audit.action)
    .bind(&audit.actor)
    .bind(&audit.detail)
    .bind(now.as_micros())
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}
