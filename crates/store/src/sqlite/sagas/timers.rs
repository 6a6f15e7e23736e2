//! Timers: written with their sagas, and, when they are due, turned into rows to be looked at.

use orchestratum_core::saga::{Timer, TimerKind};
use orchestratum_core::{SagaId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, number, signed, timestamp};
use super::super::values::{OverValues, over_values};
use super::row::saga_id;
use super::task_ends::insert_waiting;
use crate::decide::{EventColumns, Folded, TimerWrite, WaitingEvent};
use crate::{Error, EventKind, FiredTimers, PendingTimer};

const TABLE: &str = "saga_timers";

pub(super) async fn write_timers(connection: &mut SqliteConnection, folded: &[Folded]) -> Result<(), Error> {
    static END: OverValues = over_values!("DELETE FROM saga_timers WHERE saga_id IN (VALUES ", "(?)", ")");
    // By the whole key: by a part of it SQLite would look at every timer there is.
    static STOP: OverValues = over_values!(
        "WITH stopped (saga_id, entry) AS (VALUES ",
        "(?, ?)",
        ")
         DELETE FROM saga_timers
         WHERE (saga_id, entry, timer, number) IN (
             SELECT t.saga_id, t.entry, t.timer, t.number
             FROM stopped s
             CROSS JOIN saga_timers t ON t.saga_id = s.saga_id AND t.entry = s.entry
         )"
    );
    static START: OverValues = over_values!(
        "WITH new AS (VALUES ",
        "(?, ?, ?, ?, ?)",
        ")
         INSERT INTO saga_timers (saga_id, entry, timer, number, due_at)
         SELECT * FROM new WHERE column1 IS NOT NULL"
    );
    let ended = folded.iter().filter(|saga| saga.ended).map(|saga| saga.head.id);
    let ended: Vec<SagaId> = ended.collect();
    END.execute(connection, &ended, |statement, saga| statement.bind(saga.0))
        .await?;
    let stopped = folded.iter().filter(|saga| !saga.ended);
    let stopped: Vec<(SagaId, u32)> = stopped
        .flat_map(|saga| saga.stopped.iter().map(|entry| (saga.head.id, *entry)))
        .collect();
    STOP.execute(connection, &stopped, |statement, (saga, entry)| {
        statement.bind(saga.0).bind(*entry)
    })
    .await?;
    let started: Vec<(SagaId, TimerWrite)> = folded
        .iter()
        .flat_map(|saga| saga.timers.iter().map(|timer| (saga.head.id, *timer)))
        .collect();
    START
        .execute(connection, &started, |statement, (saga, write)| {
            statement
                .bind(saga.0)
                .bind(write.timer.entry())
                .bind(write.timer.kind().code())
                .bind(write.timer.index())
                .bind(write.at.as_micros())
        })
        .await
}

pub(super) async fn pending(store: &SqliteStore, saga: SagaId, most: usize) -> Result<Vec<PendingTimer>, Error> {
    let rows = sqlx::query(
        "SELECT entry, timer, number, due_at
         FROM saga_timers
         WHERE saga_id = ?1
         ORDER BY due_at, entry, timer, number
         LIMIT ?2",
    )
    .bind(saga.0)
    .bind(signed(most))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter().map(|row| pending_timer(row, saga)).collect()
}

fn pending_timer(row: &SqliteRow, saga: SagaId) -> Result<PendingTimer, Error> {
    let code: i16 = number(row, TABLE, "timer", saga)?;
    let kind =
        TimerKind::from_code(code).ok_or_else(|| damaged(TABLE, "timer", saga, format!("{code} is no timer")))?;
    let (entry, index) = (number(row, TABLE, "entry", saga)?, number(row, TABLE, "number", saga)?);
    Ok(PendingTimer {
        timer: Timer::of(kind, entry, index),
        due_at: timestamp(row, "due_at")?,
    })
}

pub(super) async fn fire(store: &SqliteStore, limit: usize, now: Timestamp) -> Result<FiredTimers, Error> {
    let mut transaction = store.begin().await?;
    let rows = sqlx::query(
        "DELETE FROM saga_timers
         WHERE (saga_id, entry, timer, number) IN (
             SELECT saga_id, entry, timer, number
             FROM saga_timers
             WHERE due_at <= ?1
             ORDER BY due_at, saga_id, entry, timer, number
             LIMIT ?2
         )
         RETURNING saga_id, entry, timer, number, due_at",
    )
    .bind(now.as_micros())
    .bind(signed(limit))
    .fetch_all(&mut *transaction)
    .await
    .map_err(sql)?;
    let mut due: Vec<(i64, WaitingEvent)> = rows.iter().map(fired).collect::<Result<_, _>>()?;
    // In the order in which they were due: RETURNING has none of its own.
    due.sort_by_key(|(due_at, event)| {
        let columns = &event.columns;
        (*due_at, event.saga, columns.entry, columns.timer, columns.number)
    });
    let events: Vec<WaitingEvent> = due.into_iter().map(|(_, event)| event).collect();
    insert_waiting(&mut transaction, &events, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(FiredTimers::of(events.into_iter().map(|event| event.saga), limit))
}

fn fired(row: &SqliteRow) -> Result<(i64, WaitingEvent), Error> {
    let saga = saga_id(row, "saga_id")?;
    let columns = EventColumns {
        kind: EventKind::Timer.code(),
        number: Some(number(row, TABLE, "number", saga)?),
        timer: Some(number(row, TABLE, "timer", saga)?),
        entry: Some(number(row, TABLE, "entry", saga)?),
        ..EventColumns::default()
    };
    Ok((get(row, "due_at")?, WaitingEvent { saga, columns }))
}
