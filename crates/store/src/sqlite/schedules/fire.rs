//! Schedules whose time has come become tasks, in one transaction.

use std::collections::HashMap;

use orchestratum_core::schedule::Overlap;
use orchestratum_core::{ScheduleId, TaskId, Timestamp};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{Hex, get, json, number, signed, task_id};
use super::super::tasks::{insert_new, meet, settle};
use super::super::values::{OverValues, over_values};
use super::row::{due, due_columns};
use crate::decide::{self, DispatchRow, DueSchedule, LIVE_MAX, Locked, ScheduleWrite, Which, waiting_text};
use crate::{Error, Fired, NewTask};

pub(super) async fn fire(store: &SqliteStore, which: Which, seed: u128, now: Timestamp) -> Result<Fired, Error> {
    let mut transaction = store.begin().await?;
    let Locked { read, more } = found(&mut transaction, which, now).await?;
    let rows = sqlx::query(concat!(
        "SELECT ",
        due_columns!(),
        " FROM schedules s WHERE s.id IN (SELECT unhex(value) FROM json_each(?1)) ORDER BY s.wake_at, s.id"
    ))
    .bind(json(&read.iter().map(|id| Hex(id.0)).collect::<Vec<_>>()))
    .fetch_all(&mut *transaction)
    .await
    .map_err(sql)?;
    let due: Vec<DueSchedule> = rows.iter().map(due).collect::<Result<_, _>>()?;
    let live = live(&mut transaction, &due).await?;
    let mut decision = decide::fire(due, &live, &store.limits, more, seed, now);
    let tasks: Vec<&NewTask> = decision.tasks.iter().collect();
    let met = meet(&mut transaction, &tasks, now).await?;
    decision.meet(&met);
    if !decision.tasks.is_empty() {
        let tasks: Vec<&NewTask> = decision.tasks.iter().collect();
        insert_new(&mut transaction, &tasks, now).await?;
    }
    write(&mut transaction, &decision.schedules).await?;
    let publish_at = DispatchRow::publish_at(now, true, now);
    let admitted = settle(&mut transaction, &decision.gates(now), publish_at, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(decision.into_fired(admitted, now))
}

/// Texts tell their sizes without being read.
async fn found(connection: &mut SqliteConnection, which: Which, now: Timestamp) -> Result<Locked, Error> {
    let query = match which {
        Which::Due(limit) => sqlx::query(
            "SELECT id, octet_length(task) AS size
             FROM schedules INDEXED BY schedules_wake
             WHERE wake_at IS NOT NULL AND wake_at <= ?1
             ORDER BY wake_at
             LIMIT ?2",
        )
        .bind(now.as_micros())
        .bind(signed(limit)),
        Which::One(schedule) => {
            sqlx::query("SELECT id, octet_length(task) AS size FROM schedules WHERE wake_at <= ?1 AND id = ?2")
                .bind(now.as_micros())
                .bind(schedule.0)
        }
    };
    let rows = query.fetch_all(connection).await.map_err(sql)?;
    let sized = rows.iter().map(|row| {
        let id = ScheduleId(get::<Uuid>(row, "id")?);
        Ok((id, number(row, "schedules", "size", id)?))
    });
    Ok(Locked::of(&sized.collect::<Result<Vec<_>, Error>>()?, which))
}

/// Tasks of these schedules that are not over, where that matters.
async fn live(
    connection: &mut SqliteConnection,
    due: &[DueSchedule],
) -> Result<HashMap<ScheduleId, Vec<TaskId>>, Error> {
    let asked: Vec<Hex> = due
        .iter()
        .filter(|schedule| schedule.spec.as_ref().is_ok_and(|spec| spec.overlap != Overlap::Allow))
        .map(|schedule| Hex(schedule.id.0))
        .collect();
    let mut live: HashMap<ScheduleId, Vec<TaskId>> = HashMap::new();
    if asked.is_empty() {
        return Ok(live);
    }
    let rows = sqlx::query(
        "SELECT t.schedule_id, t.id
         FROM json_each(?1) asked
         CROSS JOIN tasks t ON t.id IN (
             SELECT l.id
             FROM tasks l INDEXED BY tasks_schedule_live
             WHERE l.schedule_id IS NOT NULL AND l.status IN (0, 1) AND l.schedule_id = unhex(asked.value)
             LIMIT ?2
         )",
    )
    .bind(json(&asked))
    .bind(signed(LIVE_MAX))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    for row in &rows {
        let schedule = ScheduleId(get::<Uuid>(row, "schedule_id")?);
        live.entry(schedule).or_default().push(task_id(row, "id")?);
    }
    Ok(live)
}

async fn write(connection: &mut SqliteConnection, schedules: &[ScheduleWrite]) -> Result<(), Error> {
    static UPDATE: OverValues = over_values!(
        "WITH new AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         UPDATE schedules
         SET next_slot = new.column2,
             waiting = new.column3,
             wake_at = new.column4,
             last_slot = new.column5,
             last_skip_slot = new.column6,
             last_skip_reason = new.column7,
             last_skip_detail = new.column8
         FROM new
         WHERE schedules.id = new.column1"
    );
    UPDATE
        .execute(connection, schedules, |statement, schedule| {
            let standing = &schedule.standing;
            let skip = standing.last_skip.as_ref();
            statement
                .bind(schedule.id.0)
                .bind(standing.next_slot.map(Timestamp::as_micros))
                .bind(waiting_text(standing))
                .bind(standing.wake_at.map(Timestamp::as_micros))
                .bind(standing.last_slot.map(Timestamp::as_micros))
                .bind(skip.map(|skip| skip.slot.as_micros()))
                .bind(skip.map(|skip| skip.reason.code()))
                .bind(skip.and_then(|skip| skip.detail.clone()))
        })
        .await
}
