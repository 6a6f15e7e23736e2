//! Groups and their members.

use std::collections::BTreeMap;

use orchestratum_core::GroupId;
use orchestratum_core::task::{GroupStatus, TaskStatus};
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, number, select_task, signed, task};
use super::row::{self, group_columns};
use crate::{Error, Group, GroupPage, MemberPage, MemberSearch, PAGE_BYTES, decide};

pub(super) async fn group(store: &SqliteStore, group: GroupId) -> Result<Option<Group>, Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        group_columns!(),
        " FROM task_groups g WHERE g.id = ?1"
    ))
    .bind(group.0)
    .fetch_optional(&store.read)
    .await
    .map_err(sql)?;
    row.as_ref().map(row::group).transpose()
}

pub(super) async fn status(store: &SqliteStore, group: GroupId) -> Result<Option<GroupStatus>, Error> {
    let row = sqlx::query("SELECT status FROM task_groups WHERE id = ?1")
        .bind(group.0)
        .fetch_optional(&store.read)
        .await
        .map_err(sql)?;
    row.map(|row| row::status(&row, group)).transpose()
}

pub(super) async fn member_counts(store: &SqliteStore, group: GroupId) -> Result<BTreeMap<TaskStatus, u64>, Error> {
    let rows = sqlx::query(
        "SELECT status, count(*) AS members
         FROM tasks INDEXED BY tasks_group
         WHERE group_id IS NOT NULL AND group_id = ?1
         GROUP BY status",
    )
    .bind(group.0)
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let code: i64 = get(row, "status")?;
            let status = i16::try_from(code).ok().and_then(TaskStatus::from_code);
            let status = status.ok_or_else(|| damaged("tasks", "status", group, format!("{code} is no status")))?;
            Ok((status, number(row, "tasks", "members", group)?))
        })
        .collect()
}

pub(super) async fn groups(
    store: &SqliteStore,
    status: Option<GroupStatus>,
    before: Option<GroupId>,
    limit: usize,
) -> Result<GroupPage, Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        group_columns!(),
        ", p.found
         FROM (
             SELECT
                 id,
                 count(*) OVER () AS found,
                 sum(size) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
                 row_number() OVER (ORDER BY id DESC) AS place
             FROM (
                 SELECT id, coalesce(octet_length(on_complete), 0) + coalesce(octet_length(on_failure), 0) AS size
                 FROM task_groups
                 WHERE id < ?1 AND (?2 IS NULL OR status = ?2)
                 ORDER BY id DESC
                 LIMIT ?3
             )
         ) p
         CROSS JOIN task_groups g ON g.id = p.id
         WHERE p.bytes <= ?4 OR p.place = 1
         ORDER BY g.id DESC"
    ))
    .bind(before.map_or(Uuid::max(), |id| id.0))
    .bind(status.map(|status| i64::from(status.code())))
    // One more than asked for tells whether there is another page.
    .bind(signed(limit + 1))
    .bind(signed(PAGE_BYTES))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let items: Vec<Group> = rows.iter().take(limit).map(row::group).collect::<Result<_, _>>()?;
    let next = items
        .last()
        .map(|group| group.spec.id)
        .filter(|_| found > signed(items.len()));
    Ok(GroupPage { items, next })
}

pub(super) async fn members(store: &SqliteStore, search: &MemberSearch) -> Result<MemberPage, Error> {
    let rows = sqlx::query(select_task!(
        // Ids and sizes first, which are told without reading the texts.
        ", p.found
         FROM (
             SELECT
                 id,
                 count(*) OVER () AS found,
                 sum(size) OVER (ORDER BY group_index ROWS UNBOUNDED PRECEDING) AS bytes,
                 row_number() OVER (ORDER BY group_index) AS turn
             FROM (
                 SELECT
                     m.id,
                     m.group_index,
                     octet_length(m.input) + coalesce(octet_length(m.output), 0)
                         + coalesce(octet_length(m.error), 0) + coalesce(octet_length(m.description), 0)
                         + coalesce(octet_length(m.follow_ups), 0) AS size
                 FROM tasks m INDEXED BY tasks_group
                 WHERE m.group_id IS NOT NULL AND m.group_id = ?1 AND m.group_index > ?2
                   AND (?3 IS NULL OR m.status = ?3)
                 ORDER BY m.group_index
                 LIMIT ?4
             )
         ) p
         CROSS JOIN tasks t ON t.id = p.id
         LEFT JOIN dispatches d ON d.task_id = t.id
         WHERE p.bytes <= ?5 OR p.turn = 1
         ORDER BY t.group_index"
    ))
    .bind(search.group.0)
    .bind(search.after.map_or(-1, i64::from))
    .bind(search.status.map(|status| i64::from(status.code())))
    .bind(signed(search.limit + 1))
    .bind(signed(PAGE_BYTES))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let items = rows.iter().take(search.limit).map(task).collect::<Result<_, _>>()?;
    Ok(decide::member_page(items, usize::try_from(found).unwrap_or(usize::MAX)))
}
