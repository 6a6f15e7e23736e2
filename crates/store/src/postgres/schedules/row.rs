//! The row of a schedule and the schedule it stands for.

use orchestratum_core::schedule::{Cron, InvalidCron, Misfire, Overlap, ScheduleSpec, Skip, SkipReason, Standing};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{JsonText, ScheduleId, TaskId, Timestamp};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{FromRow, Postgres};
use uuid::Uuid;

use super::super::rows::{Place, Time, milliseconds, time, timestamp};
use crate::decide::{DueSchedule, waiting_of, waiting_text};
use crate::{Error, LastTask, Schedule};

/// What the loop needs of a schedule.
#[derive(Debug, FromRow)]
pub(super) struct DueRow {
    pub(super) id: Uuid,
    name: String,
    cron: String,
    time_zone: String,
    task: String,
    pub(super) overlap: i16,
    misfire: i16,
    start_at: Option<Time>,
    end_at: Option<Time>,
    jitter_ms: i64,
    paused: bool,
    next_slot: Option<Time>,
    waiting: Option<String>,
    wake_at: Option<Time>,
    last_slot: Option<Time>,
    last_skip_slot: Option<Time>,
    last_skip_reason: Option<i16>,
    last_skip_detail: Option<String>,
}

/// All of a schedule.
#[derive(Debug, FromRow)]
pub(super) struct ScheduleRow {
    #[sqlx(flatten)]
    due: DueRow,
    created_at: Time,
    updated_at: Time,
    version: i32,
    last_task_id: Option<Uuid>,
    last_task_status: Option<i16>,
}

/// The columns of [`ScheduleRow`], from `schedules` and its `last_task`.
macro_rules! schedule_columns {
    () => {
        "schedules.*, last_task.id AS last_task_id, last_task.status AS last_task_status"
    };
}
pub(super) use schedule_columns;

/// What a slot or a trigger made last.
macro_rules! last_task {
    () => {
        " LEFT JOIN LATERAL (
            SELECT id, status FROM tasks WHERE tasks.schedule_id = schedules.id ORDER BY id DESC LIMIT 1
        ) AS last_task ON true "
    };
}
pub(super) use last_task;

impl DueRow {
    pub(super) fn into_due(self) -> Result<DueSchedule, Error> {
        let Self {
            id,
            name,
            cron,
            time_zone,
            task,
            overlap,
            misfire,
            start_at,
            end_at,
            jitter_ms,
            paused,
            next_slot,
            waiting,
            wake_at,
            last_slot,
            last_skip_slot,
            last_skip_reason,
            last_skip_detail,
        } = self;
        let place = Place {
            table: "schedules",
            row: &id,
        };
        let (overlap, misfire) = (Overlap::from_code(overlap), Misfire::from_code(misfire));
        let overlap = place.present("overlap", overlap)?;
        let misfire = place.present("misfire", misfire)?;
        let jitter = place.milliseconds("jitter_ms", jitter_ms)?;
        let spec = Cron::parse(&cron, &time_zone).map(|cron| ScheduleSpec {
            name,
            cron,
            task: JsonText::trusted(task),
            overlap,
            misfire,
            start_at: start_at.map(timestamp),
            end_at: end_at.map(timestamp),
            jitter,
            paused,
        });
        let last_skip = match (last_skip_slot, last_skip_reason) {
            (Some(slot), Some(reason)) => Some(Skip {
                slot: timestamp(slot),
                reason: place.present("last_skip_reason", SkipReason::from_code(reason))?,
                detail: last_skip_detail,
            }),
            _ => None,
        };
        Ok(DueSchedule {
            standing: Standing {
                next_slot: next_slot.map(timestamp),
                waiting: place.take("waiting", waiting_of(waiting.as_deref()))?,
                wake_at: wake_at.map(timestamp),
                last_slot: last_slot.map(timestamp),
                last_skip,
            },
            id: ScheduleId(id),
            spec,
        })
    }
}

impl ScheduleRow {
    pub(super) fn into_schedule(self) -> Result<Schedule, Error> {
        let Self {
            due,
            created_at,
            updated_at,
            version,
            last_task_id,
            last_task_status,
        } = self;
        let DueSchedule { id, spec, standing } = due.into_due()?;
        let place = Place {
            table: "schedules",
            row: &id,
        };
        let last_task = match (last_task_id, last_task_status) {
            (Some(task), Some(status)) => Some(LastTask {
                id: TaskId(task),
                status: place.present("last_task", TaskStatus::from_code(status))?,
            }),
            _ => None,
        };
        Ok(Schedule {
            id,
            spec: place.take::<_, InvalidCron>("cron", spec)?,
            standing,
            created_at: timestamp(created_at),
            updated_at: timestamp(updated_at),
            version: place.number("version", version)?,
            last_task,
        })
    }
}

/// `$1` to `$15` of a statement that writes what callers say, and where that leaves the schedule.
pub(super) fn written<'q>(
    statement: &'static str,
    id: ScheduleId,
    spec: &'q ScheduleSpec,
    standing: &Standing,
    at: Timestamp,
) -> Query<'q, Postgres, PgArguments> {
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
        .bind(start_at.map(time))
        .bind(end_at.map(time))
        .bind(milliseconds(*jitter))
        .bind(paused)
        .bind(time(at))
        .bind(standing.next_slot.map(time))
        .bind(waiting_text(standing))
        .bind(standing.wake_at.map(time))
}
