//! Timers that are due become rows to be looked at, in one statement.

use orchestratum_core::{SagaId, Timestamp};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{int8, time};
use crate::{Error, FiredTimers};

pub(super) async fn fire(database: &Database, limit: usize, now: Timestamp) -> Result<FiredTimers, Error> {
    let rows: Vec<(Uuid,)> = database
        // What the first time has fired is no timer any more, and is found as what waits to be looked at.
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "WITH due AS MATERIALIZED (
                    SELECT saga_id, entry, timer, number
                    FROM saga_timers
                    WHERE due_at <= $1
                    ORDER BY due_at, saga_id, entry, timer, number
                    LIMIT $2
                    -- Who stops it at the moment has its saga under its lock.
                    FOR UPDATE SKIP LOCKED
                ),
                gone AS (
                    DELETE FROM saga_timers
                    USING due
                    WHERE saga_timers.saga_id = due.saga_id
                      AND saga_timers.entry = due.entry
                      AND saga_timers.timer = due.timer
                      AND saga_timers.number = due.number
                    RETURNING saga_timers.saga_id, saga_timers.entry, saga_timers.timer, saga_timers.number,
                        saga_timers.due_at
                )
                INSERT INTO saga_events (saga_id, kind, entry, timer, number, received_at)
                -- In the order in which they were due; of those of one state that were due together, in the order of their list.
                SELECT saga_id, 4, entry, timer, number, $1 FROM gone ORDER BY due_at, saga_id, entry, timer, number
                RETURNING saga_id",
            )
            .bind(time(now))
            .bind(int8(limit))
        })
        .await?;
    Ok(FiredTimers::of(rows.into_iter().map(|(id,)| SagaId(id)), limit))
}
