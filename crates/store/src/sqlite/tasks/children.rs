//! What came after some tasks.

use orchestratum_core::TaskId;
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, id_list, place, select_task, signed, task, task_id, timestamp};
use crate::{Children, Error, MissingCause, MissingFollowUp};

pub(super) async fn children(
    store: &SqliteStore,
    parents: &[TaskId],
    limit: usize,
    bytes: usize,
) -> Result<Children, Error> {
    let parents = id_list(parents.iter().copied());
    let rows = sqlx::query(select_task!(
        // Ids and sizes first, which are told without reading the texts.
        ", p.found
         FROM (
             SELECT
                 id,
                 count(*) OVER () AS found,
                 sum(size) OVER (ORDER BY place ROWS UNBOUNDED PRECEDING) AS bytes,
                 place
             FROM (
                 SELECT
                     c.id,
                     row_number() OVER (
                         ORDER BY c.parent_id, c.parent_run NULLS LAST, c.edge, c.ordinal, c.id
                     ) AS place,
                     octet_length(c.input) + coalesce(octet_length(c.output), 0)
                         + coalesce(octet_length(c.error), 0) + coalesce(octet_length(c.description), 0)
                         + coalesce(octet_length(c.follow_ups), 0) AS size
                 FROM tasks c INDEXED BY tasks_parent
                 WHERE c.parent_id IS NOT NULL AND c.parent_id IN (SELECT unhex(value) FROM json_each(?1))
                 ORDER BY place
                 LIMIT ?2
             )
         ) p
         CROSS JOIN tasks t ON t.id = p.id
         LEFT JOIN dispatches d ON d.task_id = t.id
         WHERE p.bytes <= ?3 OR p.place = 1
         ORDER BY p.place"
    ))
    .bind(&parents)
    // One more than asked for tells whether there is more.
    .bind(signed(limit + 1))
    .bind(signed(bytes))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    let missing = sqlx::query(
        "SELECT parent_id, parent_run, edge, ordinal, name, cause, reason, missing_since
         FROM missing_follow_ups
         WHERE parent_id IN (SELECT unhex(value) FROM json_each(?1))
         ORDER BY parent_id, parent_run, edge, ordinal
         LIMIT ?2",
    )
    .bind(&parents)
    .bind(signed(limit + 1))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let shown = rows.len().min(limit);
    Ok(Children {
        tasks: rows.iter().take(limit).map(task).collect::<Result<_, _>>()?,
        missing: missing
            .iter()
            .take(limit)
            .map(missing_follow_up)
            .collect::<Result<_, _>>()?,
        truncated: found > signed(shown) || missing.len() > limit,
    })
}

fn missing_follow_up(row: &SqliteRow) -> Result<MissingFollowUp, Error> {
    const TABLE: &str = "missing_follow_ups";
    let parent = task_id(row, "parent_id")?;
    let at = place(row, TABLE, parent)?;
    let code: i64 = get(row, "cause")?;
    let cause = i16::try_from(code).ok().and_then(MissingCause::from_code);
    Ok(MissingFollowUp {
        parent,
        place: at.ok_or_else(|| damaged(TABLE, "edge", parent, "it is missing"))?,
        name: get(row, "name")?,
        cause: cause.ok_or_else(|| damaged(TABLE, "cause", parent, format!("{code} is no cause")))?,
        reason: get(row, "reason")?,
        since: timestamp(row, "missing_since")?,
    })
}
