//! Timers: those of a saga; and how those that are due become rows to be looked at, in one statement.

use orchestratum_core::saga::{Timer, TimerKind};
use orchestratum_core::{SagaId, Timestamp};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, Time, int8, time, timestamp};
use crate::{Error, FiredTimers, PendingTimer};

pub(super) async fn pending(database: &Database, saga: SagaId, most: usize) -> Result<Vec<PendingTimer>, Error> {
    let rows: Vec<(i32, i16, i32, Time)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT entry, timer, number, due_at
                FROM saga_timers
                WHERE saga_id = $1
                ORDER BY due_at, entry, timer, number
                LIMIT $2",
            )
            .bind(saga.0)
            .bind(int8(most))
        })
        .await?;
    let place = Place {
        table: "saga_timers",
        row: &saga,
    };
    rows.into_iter()
        .map(|(entry, kind, number, due_at)| {
            let kind = place.present("timer", TimerKind::from_code(kind))?;
            let (entry, index) = (place.number("entry", entry)?, place.number("number", number)?);
            Ok(PendingTimer {
                timer: Timer::of(kind, entry, index),
                due_at: timestamp(due_at),
            })
        })
        .collect()
}

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
