//! The rules of the data that an operator can check.

use orchestratum_core::Timestamp;
use sqlx::SqlitePool;

use super::error::sql;
use super::rows::signed;
use crate::{BrokenInvariant, Error};

/// Each rule with the statement that finds what breaks it. `?1` is the time, `?2` how many are wanted.
const RULES: &[(&str, &str)] = &[
    (
        "a pending task has a dispatch row",
        "SELECT lower(hex(t.id)) FROM tasks t
         WHERE t.status = 0 AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.task_id = t.id) LIMIT ?2",
    ),
    (
        "a dispatch row belongs to a pending task",
        "SELECT lower(hex(d.task_id)) FROM dispatches d
         WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = d.task_id AND t.status = 0) LIMIT ?2",
    ),
    (
        "a dispatch row repeats what its task says",
        "SELECT lower(hex(d.task_id)) FROM dispatches d JOIN tasks t ON t.id = d.task_id
         WHERE (d.target, d.name, d.priority, d.expires_at) IS NOT (t.target, t.name, t.priority, t.expires_at)
         LIMIT ?2",
    ),
    (
        "an ended attempt is not newer than its task",
        "SELECT lower(hex(a.task_id)) || '/' || a.attempt FROM attempts a
         LEFT JOIN tasks t ON t.id = a.task_id
         WHERE t.id IS NULL OR a.attempt > t.attempt OR a.run > t.run LIMIT ?2",
    ),
    (
        "every attempt but the open one is recorded",
        "SELECT lower(hex(t.id)) FROM tasks t
         WHERE t.attempt - (t.status = 1) <> (SELECT count(*) FROM attempts a WHERE a.task_id = t.id) LIMIT ?2",
    ),
    (
        "a completed task has one successful attempt in its run",
        "SELECT lower(hex(t.id)) FROM tasks t
         WHERE t.status = 2
           AND 1 <> (SELECT count(*) FROM attempts a WHERE a.task_id = t.id AND a.run = t.run AND a.outcome = 0)
         LIMIT ?2",
    ),
    (
        "a task that failed, expired or was cancelled has an error, any other has none",
        "SELECT lower(hex(id)) FROM tasks WHERE (status IN (3, 4, 5)) <> (error IS NOT NULL) LIMIT ?2",
    ),
    (
        "attempts of a task do not overlap",
        "SELECT lower(hex(a.task_id)) || '/' || a.attempt FROM attempts a
         JOIN attempts b ON b.task_id = a.task_id AND b.attempt = a.attempt + 1
         WHERE b.started_at < a.ended_at LIMIT ?2",
    ),
    (
        "a delayed dispatch row that is due is released within a minute",
        "SELECT lower(hex(task_id)) FROM dispatches WHERE state = 1 AND due_at < ?1 - 60000000 LIMIT ?2",
    ),
];

pub(super) async fn broken(pool: &SqlitePool, now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, Error> {
    let mut broken = Vec::new();
    for (rule, statement) in RULES {
        let rows: Vec<String> = sqlx::query_scalar(*statement)
            .bind(now.as_micros())
            .bind(signed(limit.saturating_sub(broken.len())))
            .fetch_all(pool)
            .await
            .map_err(sql)?;
        broken.extend(rows.into_iter().map(|row| BrokenInvariant { rule, row }));
    }
    Ok(broken)
}
