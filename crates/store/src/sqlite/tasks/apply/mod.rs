//! Putting events to tasks, under the write lock.
//!
//! ```text
//!   success   only reports of success,      two statements over the batch     (most of what happens)
//!             that nothing follows
//!   otherwise load ─► decide ─► write       decide is pure and asks `transition`
//! ```

mod success;
mod write;

use std::collections::HashMap;

use orchestratum_core::task::{AttemptOutcome, SpecLimits};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{self, Hex, damaged, get, json, number, task_id};
use super::super::values::{OverValues, over_values};
use super::{gates, unique};
use crate::decide::{self, Stored};
use crate::{Change, ChangeOutcome, Error, NewTask};

pub(in super::super) use write::insert_audit;

pub(super) async fn apply(
    store: &SqliteStore,
    changes: &[Change],
    now: Timestamp,
) -> Result<Vec<ChangeOutcome>, Error> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin().await?;
    let outcomes = if let Some(successes) = decide::successes(changes) {
        // Whoever takes what follows says with that what there is to follow.
        let completed = if changes.iter().all(|change| change.takes.is_some()) {
            Vec::new()
        } else {
            success::apply(&mut transaction, &successes, now).await?
        };
        let short = decide::ShortWay::new(changes, completed, now);
        let left = short.left(changes);
        let rest = apply_any(&mut transaction, &left, &store.limits, now).await?;
        short.with(rest)
    } else {
        apply_any(&mut transaction, changes, &store.limits, now).await?
    };
    transaction.commit().await.map_err(sql)?;
    Ok(outcomes)
}

/// Puts any events to tasks, within the transaction of the caller.
pub(in super::super) async fn apply_any(
    connection: &mut SqliteConnection,
    changes: &[Change],
    limits: &SpecLimits,
    now: Timestamp,
) -> Result<Vec<ChangeOutcome>, Error> {
    let mut outcomes = Vec::with_capacity(changes.len());
    // Once, but where follow-ups are so large that only some of them are held in memory at a time.
    while outcomes.len() < changes.len() {
        let rest = &changes[outcomes.len()..];
        let tasks = load(connection, rest).await?;
        let recorded = recorded(connection, &decide::doubtful_reports(rest, &tasks)).await?;
        let mut decision = decide::apply(rest, tasks, recorded, limits, now);
        write::write(connection, &decision, now).await?;
        let follow_ups: Vec<&NewTask> = decision.follow_ups.iter().collect();
        let met = unique::meet(connection, &follow_ups, now).await?;
        decision.admit_follow_ups(&met, now);
        write::write_follow_ups(connection, &decision, now).await?;
        let publish_at = decision.admitted_publish_at(now);
        let admitted = gates::settle(connection, &decision.gates, publish_at, now).await?;
        outcomes.extend(decision.answers(admitted));
    }
    Ok(outcomes)
}

async fn load(connection: &mut SqliteConnection, changes: &[Change]) -> Result<HashMap<TaskId, Stored>, Error> {
    static LOAD: OverValues = over_values!(
        "WITH wanted (id, brings) AS (VALUES ",
        "(?, ?)",
        ")
         SELECT
             t.id, t.name, t.target, t.priority, t.ttl_ms, t.backoff, t.max_retries, t.max_losses, t.scheduled_at,
             t.expires_at, t.status, t.run, t.attempt, t.version, t.retries_left, t.losses_left, t.cancel_requested,
             t.worker_id, t.started_at, t.finished_at, t.error, t.group_id, t.saga_id,
             t.saga_number, t.saga_undoes, d.due_at, d.state AS dispatch_state, t.conditions, t.follow_ups,
             -- What follow-ups need, and only where there are some.
             iif(w.brings OR t.follow_ups IS NOT NULL, t.input, NULL) AS source_input,
             iif(w.brings OR t.follow_ups IS NOT NULL, t.description, NULL) AS description,
             iif(w.brings OR t.follow_ups IS NOT NULL, t.labels, NULL) AS labels,
             t.parent_id, t.created_at, t.trace_parent, t.request_id
         FROM wanted w
         CROSS JOIN tasks t ON t.id = w.id
         LEFT JOIN dispatches d ON d.task_id = t.id"
    );
    let rows = LOAD
        .fetch(
            connection,
            changes,
            |statement| statement,
            |statement, change| {
                statement
                    .bind(change.task.0)
                    .bind(!change.evidence.follow_ups.is_empty())
            },
        )
        .await?;
    rows.iter()
        .map(|row| rows::stored(row).map(|task| (task.id, task)))
        .try_fold(HashMap::with_capacity(rows.len()), |mut tasks, task| {
            let (id, task) = task?;
            // One that comes twice is loaded twice: with what follow-ups need, if one of its changes brings some.
            let kept: &mut Stored = tasks.entry(id).or_insert_with(|| task.clone());
            kept.source = kept.source.take().or(task.source);
            Ok(tasks)
        })
}

async fn recorded(
    connection: &mut SqliteConnection,
    reports: &[(TaskId, u32)],
) -> Result<HashMap<(TaskId, u32), AttemptOutcome>, Error> {
    if reports.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: Vec<(Hex, u32)> = reports.iter().map(|(id, attempt)| (Hex(id.0), *attempt)).collect();
    let rows = sqlx::query(
        "SELECT a.task_id, a.attempt, a.outcome
         FROM json_each(?1) w
         CROSS JOIN attempts a ON a.task_id = unhex(w.value ->> 0) AND a.attempt = w.value ->> 1",
    )
    .bind(json(&wanted))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let id = task_id(row, "task_id")?;
            let code: i64 = get(row, "outcome")?;
            let outcome = i16::try_from(code)
                .ok()
                .and_then(AttemptOutcome::from_code)
                .ok_or_else(|| damaged("attempts", "outcome", id, format!("{code} is no outcome")))?;
            Ok(((id, number(row, "attempts", "attempt", id)?), outcome))
        })
        .collect()
}
