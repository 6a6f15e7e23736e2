//! The row of a schedule and the schedule it stands for.

use orchestratum_core::schedule::{Misfire, Overlap, ScheduleSpec, Skip, SkipReason, Standing, StoredSchedule};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{JsonText, ScheduleId};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::rows::{damaged, get, maybe_timestamp, number, task_id, timestamp};
use crate::decide::{DueSchedule, waiting_of};
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
    let jitter_ms: u64 = number(row, TABLE, "jitter_ms", id)?;
    let stored = StoredSchedule {
        name: get(row, "name")?,
        cron: get(row, "cron")?,
        time_zone: get(row, "time_zone")?,
        task: JsonText::trusted(get::<String>(row, "task")?),
        overlap: code(row, "overlap", id, Overlap::from_code)?,
        misfire: code(row, "misfire", id, Misfire::from_code)?,
        start_at: maybe_timestamp(row, "start_at")?,
        end_at: maybe_timestamp(row, "end_at")?,
        jitter: std::time::Duration::from_millis(jitter_ms),
        paused: get(row, "paused")?,
    };
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
        spec: ScheduleSpec::from_stored(stored),
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
