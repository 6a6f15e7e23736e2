//! What a task that is due waits for.

use std::time::Duration;

use orchestratum_core::TaskId;
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, Time, int8, timestamp};
use crate::{Error, KEY_HOLDERS_SHOWN, KEY_LINE_MAX, KeyWait};

pub(super) async fn key_wait(database: &Database, task: TaskId) -> Result<Option<KeyWait>, Error> {
    let place = Place {
        table: "places",
        row: &task,
    };
    let waits: Option<(String, i32, i32, i64)> = database
        .optional(|| sqlx::query_as(PLACE).bind(task.0).bind(int8(KEY_LINE_MAX)))
        .await?;
    if let Some((key, limit, held, ahead)) = waits {
        let holders: Vec<(Uuid,)> = database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as("SELECT task_id FROM places WHERE key = $1 AND held ORDER BY due_at, task_id LIMIT $2")
                    .bind(key.clone())
                    .bind(int8(KEY_HOLDERS_SHOWN))
            })
            .await?;
        return Ok(Some(KeyWait::Place {
            key,
            limit: place.number("key_limit", limit)?,
            held: place.number("held", held)?,
            holders: holders.into_iter().map(|(id,)| TaskId(id)).collect(),
            ahead: place.number("ahead", ahead)?,
        }));
    }
    let waits: Option<(String, i32, i64, Time, i64)> = database
        .optional(|| sqlx::query_as(START).bind(task.0).bind(int8(KEY_LINE_MAX)))
        .await?;
    waits
        .map(|(key, limit, per_ms, opens_at, ahead)| {
            Ok(KeyWait::Start {
                key,
                limit: place.number("rate_limit", limit)?,
                per: Duration::from_millis(place.number("per_ms", per_ms)?),
                opens_at: timestamp(opens_at),
                ahead: place.number("ahead", ahead)?,
            })
        })
        .transpose()
}

const PLACE: &str = "
    SELECT mine.key, known.key_limit, known.held,
        (
            SELECT count(*)
            FROM (
                SELECT FROM places AS other
                WHERE other.key = mine.key
                  AND NOT other.held
                  AND (-other.priority, other.due_at, other.task_id) < (-mine.priority, mine.due_at, mine.task_id)
                LIMIT $2
            ) AS before
        )
    FROM places AS mine
    JOIN concurrency_keys AS known ON known.key = mine.key
    WHERE mine.task_id = $1 AND NOT mine.held";

const START: &str = "
    SELECT mine.key, known.rate_limit, known.per_ms, known.opens_at,
        (
            SELECT count(*)
            FROM (
                SELECT FROM rate_waits AS other
                WHERE other.key = mine.key
                  AND (-other.priority, other.due_at, other.task_id) < (-mine.priority, mine.due_at, mine.task_id)
                LIMIT $2
            ) AS before
        )
    FROM rate_waits AS mine
    JOIN rate_keys AS known ON known.key = mine.key
    WHERE mine.task_id = $1";
