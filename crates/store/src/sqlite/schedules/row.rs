//! The row of a schedule and the schedule it stands for.

use std::time::Duration;

use orchestratum_core::schedule::{Cron, Misfire, Overlap, ScheduleSpec, Skip, SkipReason, Standing};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{JsonText, ScheduleId, Timestamp};
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use uuid::Uuid;

use super::super::rows::{damaged, get, maybe_timestamp, milliseconds, number, task_id, timestamp};
use crate::decide::{DueSchedule, waiting_of, waiting_text};
use crate::{Error, LastTask, Schedule};

const TABLE: &str = "schedules";

/// The columns of [`due`], from `schedules s`.
macro_rules! due_columns {
    () => {
        "s.id, s.name, s.cron, s.time_zone, s.task, s.overlap, s.misfire, s.start_at, s.end_at, s.jitter_ms, s.paused, \
         s.next_slot, s.waiting, s.wake_at, s.last_slot, s.last_skip_slot, s.last_skip_reason, s.last_skip_detail"
    };
}

/// A schedule as [`schedule`] reads it, from `schedules s` and what a slot or a trigger made last, `l`.
macro_rules! select_schedule {
    ($($from:literal),+) => {
        concat!(
            "SELECT ",
            $crate::sqlite::schedules::row::due_columns!(),
            ", s.created_at, s.updated_at, s.version, l.id AS last_task_id, l.status AS last_task_status ",
            $($from),+
        )
    };
}
pub(super) use {due_columns, select_schedule};

/// A number that stands for a word.
fn code<T>(row: &SqliteRow, column: &'static str, id: ScheduleId, of: fn(i16) -> Option<T>) -> Result<T, Error> {
    let code: i16 = number(row, TABLE, column, id)?;
    of(code).ok_or_else(|| damaged(TABLE, column, id, format!("{code} is not known")))
}

pub(super) fn due(row: &SqliteRow) -> Result<DueSchedule, Error> {
    let id = ScheduleId(get::<Uuid>(row, "id")?);
    let overlap = code(row, "overlap", id, Overlap::from_code)?;
    let misfire = code(row, "misfire", id, Misfire::from_code)?;
    let (name, cron, time_zone): (String, String, String) =
        (get(row, "name")?, get(row, "cron")?, get(row, "time_zone")?);
    let task = JsonText::trusted(get::<String>(row, "task")?);
    let (start_at, end_at) = (maybe_timestamp(row, "start_at")?, maybe_timestamp(row, "end_at")?);
    let jitter = Duration::from_millis(number(row, TABLE, "jitter_ms", id)?);
    let paused = get(row, "paused")?;
    let spec = Cron::parse(&cron, &time_zone).map(|cron| ScheduleSpec {
        name,
        cron,
        task,
        overlap,
        misfire,
        start_at,
        end_at,
        jitter,
        paused,
    });
    let last_skip = match maybe_timestamp(row, "last_skip_slot")? {
        None => None,
        Some(slot) => Some(Skip {
            slot,
            reason: code(row, "last_skip_reason", id, SkipReason::from_code)?,
            detail: get(row, "last_skip_detail")?,
        }),
    };
    let waiting = waiting_of(get(row, "waiting")?).map_err(|error| damaged(TABLE, "waiting", id, error))?;
    Ok(DueSchedule {
        standing: Standing {
            next_slot: maybe_timestamp(row, "next_slot")?,
            waiting,
            wake_at: maybe_timestamp(row, "wake_at")?,
            last_slot: maybe_timestamp(row, "last_slot")?,
            last_skip,
        },
        id,
        spec,
    })
}

pub(super) fn schedule(row: &SqliteRow) -> Result<Schedule, Error> {
    let DueSchedule { id, spec, standing } = due(row)?;
    let last_task = match get::<Option<Uuid>>(row, "last_task_id")? {
        None => None,
        Some(_) => Some(LastTask {
            id: task_id(row, "last_task_id")?,
            status: code(row, "last_task_status", id, TaskStatus::from_code)?,
        }),
    };
    Ok(Schedule {
        id,
        spec: spec.map_err(|broken| damaged(TABLE, "cron", id, broken))?,
        standing,
        created_at: timestamp(row, "created_at")?,
        updated_at: timestamp(row, "updated_at")?,
        version: number(row, TABLE, "version", id)?,
        last_task,
    })
}

/// `?1` to `?15` of a statement that writes what callers say, and where that leaves the schedule.
pub(super) fn written<'q>(
    statement: &'static str,
    id: ScheduleId,
    spec: &'q ScheduleSpec,
    standing: &Standing,
    at: Timestamp,
) -> Query<'q, Sqlite, SqliteArguments> {
    let ScheduleSpec {
        name,
        cron,
        task,
        overlap,
        misfire,
        start_at,
        end_at,
        jitter,
        paused,
    } = spec;
    sqlx::query(statement)
        .bind(id.0)
        .bind(name)
        .bind(cron.text())
        .bind(cron.zone())
        .bind(task.as_str())
        .bind(overlap.code())
        .bind(misfire.code())
        .bind(start_at.map(Timestamp::as_micros))
        .bind(end_at.map(Timestamp::as_micros))
        .bind(milliseconds(*jitter))
        .bind(paused)
        .bind(at.as_micros())
        .bind(standing.next_slot.map(Timestamp::as_micros))
        .bind(waiting_text(standing))
        .bind(standing.wake_at.map(Timestamp::as_micros))
}
