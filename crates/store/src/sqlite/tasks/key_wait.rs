//! What a task that is due waits for.

use std::time::Duration;

use orchestratum_core::TaskId;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, number, signed, task_id, timestamp};
use crate::{Error, KEY_HOLDERS_SHOWN, KEY_LINE_MAX, KeyWait};

pub(super) async fn key_wait(store: &SqliteStore, task: TaskId) -> Result<Option<KeyWait>, Error> {
    let place = sqlx::query(PLACE)
        .bind(task.0)
        .bind(signed(KEY_LINE_MAX))
        .fetch_optional(&store.read)
        .await
        .map_err(sql)?;
    if let Some(row) = place {
        let key: String = get(&row, "key")?;
        let holders =
            sqlx::query("SELECT task_id FROM places WHERE key = ?1 AND held ORDER BY due_at, task_id LIMIT ?2")
                .bind(&key)
                .bind(signed(KEY_HOLDERS_SHOWN))
                .fetch_all(&store.read)
                .await
                .map_err(sql)?;
        return Ok(Some(KeyWait::Place {
            limit: number(&row, "concurrency_keys", "key_limit", &key)?,
            held: number(&row, "concurrency_keys", "held", &key)?,
            holders: holders
                .iter()
                .map(|row| task_id(row, "task_id"))
                .collect::<Result<_, _>>()?,
            ahead: number(&row, "places", "ahead", task)?,
            key,
        }));
    }
    let start = sqlx::query(START)
        .bind(task.0)
        .bind(signed(KEY_LINE_MAX))
        .fetch_optional(&store.read)
        .await
        .map_err(sql)?;
    start
        .map(|row| {
            let key: String = get(&row, "key")?;
            Ok(KeyWait::Start {
                limit: number(&row, "rate_keys", "rate_limit", &key)?,
                per: Duration::from_millis(number(&row, "rate_keys", "per_ms", &key)?),
                opens_at: timestamp(&row, "opens_at")?,
                ahead: number(&row, "rate_waits", "ahead", task)?,
                key,
            })
        })
        .transpose()
}

const PLACE: &str = "
    SELECT m.key, k.key_limit, k.held,
        (
            SELECT count(*)
            FROM (
                SELECT 1 FROM places o
                WHERE o.key = m.key
                  AND NOT o.held
                  AND (-o.priority, o.due_at, o.task_id) < (-m.priority, m.due_at, m.task_id)
                LIMIT ?2
            )
        ) AS ahead
    FROM places m
    JOIN concurrency_keys k ON k.key = m.key
    WHERE m.task_id = ?1 AND NOT m.held";

const START: &str = "
    SELECT m.key, k.rate_limit, k.per_ms, k.opens_at,
        (
            SELECT count(*)
            FROM (
                SELECT 1 FROM rate_waits o
                WHERE o.key = m.key
                  AND (-o.priority, o.due_at, o.task_id) < (-m.priority, m.due_at, m.task_id)
                LIMIT ?2
            )
        ) AS ahead
    FROM rate_waits m
    JOIN rate_keys k ON k.key = m.key
    WHERE m.task_id = ?1";
