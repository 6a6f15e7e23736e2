//! Schedules for readers.

use orchestratum_core::ScheduleId;
use sqlx::FromRow;
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::int8;
use super::row::{ScheduleRow, last_task, schedule_columns};
use crate::{Error, PAGE_BYTES, Schedule, SchedulePage};

pub(super) const SCHEDULE: &str = concat!(
    "SELECT ",
    schedule_columns!(),
    " FROM schedules",
    last_task!(),
    "WHERE schedules.id = $1"
);

const SCHEDULES: &str = concat!(
    "SELECT ",
    schedule_columns!(),
    ", found
    FROM (
        SELECT page.*,
            count(*) OVER () AS found,
            sum(octet_length(task)) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY id DESC) AS place
        FROM (
            SELECT * FROM schedules
            WHERE id < $1 AND ($2::text IS NULL OR name = $2)
            ORDER BY id DESC
            LIMIT $3
        ) AS page
    ) AS schedules",
    last_task!(),
    "WHERE bytes <= $4 OR place = 1
    ORDER BY schedules.id DESC"
);

#[derive(Debug, FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    schedule: ScheduleRow,
    /// How many rows there are, those included that were too much for the page.
    found: i64,
}

pub(super) async fn schedule(database: &Database, schedule: ScheduleId) -> Result<Option<Schedule>, Error> {
    let row: Option<ScheduleRow> = database.optional(|| sqlx::query_as(SCHEDULE).bind(schedule.0)).await?;
    row.map(ScheduleRow::into_schedule).transpose()
}

pub(super) async fn schedules(
    database: &Database,
    name: Option<&str>,
    before: Option<ScheduleId>,
    limit: usize,
) -> Result<SchedulePage, Error> {
    let rows: Vec<PageRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(SCHEDULES)
                .bind(before.map_or(Uuid::max(), |before| before.0))
                .bind(name)
                // One more than asked for tells whether there is another page.
                .bind(int8(limit + 1))
                .bind(int8(PAGE_BYTES))
        })
        .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let rows = rows.into_iter().take(limit).map(|row| row.schedule.into_schedule());
    let items = rows.collect::<Result<Vec<_>, Error>>()?;
    let more = found > int8(items.len());
    Ok(SchedulePage {
        next: items.last().filter(|_| more).map(|schedule| schedule.id),
        items,
    })
}
