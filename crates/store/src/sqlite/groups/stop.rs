//! The members of groups that are to stop.

use orchestratum_core::GroupId;
use orchestratum_core::task::GroupPlace;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, number, signed, task_id};
use super::row;
use crate::{Error, MembersToCancel};

/// Each look goes on where the one before has ended: those who were looked at cost nothing more.
const WALK: &str = "
    SELECT t.id, g.id AS group_id, t.group_index, g.status, t.status < 2 AND NOT t.cancel_requested AS goes_on
    FROM task_groups g INDEXED BY task_groups_stopping
    CROSS JOIN tasks t INDEXED BY tasks_group
        ON t.group_id IS NOT NULL AND t.group_id = g.id AND t.group_index > iif(g.id = ?1, ?2, -1)
    WHERE g.status IN (1, 2) AND g.id >= ?1
    ORDER BY g.id, t.group_index
    LIMIT ?3";

pub(super) async fn members_to_cancel(
    store: &SqliteStore,
    after: Option<GroupPlace>,
    limit: usize,
) -> Result<MembersToCancel, Error> {
    let (group, index) = after.map_or((Uuid::nil(), -1), |place| (place.group.0, i32::from(place.index)));
    let rows = sqlx::query(WALK)
        .bind(group)
        .bind(index)
        .bind(signed(limit))
        .fetch_all(&store.read)
        .await
        .map_err(sql)?;
    let mut found = MembersToCancel::default();
    for row in &rows {
        let group = GroupId(get(row, "group_id")?);
        if get(row, "goes_on")? {
            found.members.push((task_id(row, "id")?, row::status(row, group)?));
        }
        let index = number(row, "tasks", "group_index", group)?;
        found.next = (rows.len() >= limit).then_some(GroupPlace { group, index });
    }
    Ok(found)
}
