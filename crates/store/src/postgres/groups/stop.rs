//! The members of groups that are to stop.

use orchestratum_core::task::GroupPlace;
use orchestratum_core::{GroupId, TaskId};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, int8};
use super::row;
use crate::{Error, MembersToCancel};

/// Each look goes on where the one before has ended: those who were looked at cost nothing more.
const WALK: &str = "
    SELECT member.id, stopping.id, member.group_index, stopping.status, member.goes_on
    FROM task_groups AS stopping
    CROSS JOIN LATERAL (
        SELECT id, group_index, status < 2 AND NOT cancel_requested AS goes_on
        FROM tasks
        WHERE group_id = stopping.id AND group_index > CASE WHEN stopping.id = $1 THEN $2 ELSE -1 END
        ORDER BY group_index
        LIMIT $3
    ) AS member
    WHERE stopping.status IN (1, 2) AND stopping.id >= $1
    ORDER BY stopping.id, member.group_index
    LIMIT $3";

pub(super) async fn members_to_cancel(
    database: &Database,
    after: Option<GroupPlace>,
    limit: usize,
) -> Result<MembersToCancel, Error> {
    let (group, index) = after.map_or((Uuid::nil(), -1), |place| (place.group.0, i32::from(place.index)));
    let rows: Vec<(Uuid, Uuid, i32, i16, bool)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(WALK).bind(group).bind(index).bind(int8(limit))
        })
        .await?;
    let mut found = MembersToCancel::default();
    let is_full = rows.len() >= limit;
    for (id, group, index, status, goes_on) in rows {
        let place = Place {
            table: "task_groups",
            row: &group,
        };
        if goes_on {
            found.members.push((TaskId(id), row::status(&place, status)?));
        }
        let index = place.number("group_index", index)?;
        let group = GroupId(group);
        found.next = is_full.then_some(GroupPlace { group, index });
    }
    Ok(found)
}
