//! Schedules for readers.

use orchestratum_core::ScheduleId;
use sqlx::{Executor, Sqlite};
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, signed};
use super::row::{self, select_schedule};
use crate::{Error, PAGE_BYTES, Schedule, SchedulePage};

pub(super) async fn schedule<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    schedule: ScheduleId,
) -> Result<Option<Schedule>, Error> {
    let row = sqlx::query(select_schedule!(
        "FROM schedules s
         LEFT JOIN tasks l ON l.id = (
             SELECT id FROM tasks INDEXED BY tasks_schedule
             WHERE schedule_id IS NOT NULL AND schedule_id = s.id ORDER BY id DESC LIMIT 1
         )
         WHERE s.id = ?1"
    ))
    .bind(schedule.0)
    .fetch_optional(executor)
    .await
    .map_err(sql)?;
    row.as_ref().map(row::schedule).transpose()
}

pub(super) async fn schedules(
    store: &SqliteStore,
    name: Option<&str>,
    before: Option<ScheduleId>,
    limit: usize,
) -> Result<SchedulePage, Error> {
    let rows = sqlx::query(select_schedule!(
        ", p.found
         FROM (
             SELECT
                 id,
                 count(*) OVER () AS found,
                 sum(size) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
                 row_number() OVER (ORDER BY id DESC) AS place
             FROM (
                 SELECT id, octet_length(task) AS size
                 FROM schedules
                 WHERE id < ?1 AND (?2 IS NULL OR name = ?2)
                 ORDER BY id DESC
                 LIMIT ?3
             )
         ) p
         CROSS JOIN schedules s ON s.id = p.id
         LEFT JOIN tasks l ON l.id = (
             SELECT id FROM tasks INDEXED BY tasks_schedule
             WHERE schedule_id IS NOT NULL AND schedule_id = s.id ORDER BY id DESC LIMIT 1
         )
         WHERE p.bytes <= ?4 OR p.place = 1
         ORDER BY p.id DESC"
    ))
    .bind(before.map_or(Uuid::max(), |before| before.0))
    .bind(name)
    // One more than asked for tells whether there is another page.
    .bind(signed(limit + 1))
    .bind(signed(PAGE_BYTES))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let items: Vec<Schedule> = rows.iter().take(limit).map(row::schedule).collect::<Result<_, _>>()?;
    let more = found > signed(items.len());
    Ok(SchedulePage {
        next: items.last().filter(|_| more).map(|schedule| schedule.id),
        items,
    })
}
