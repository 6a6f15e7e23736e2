//! The row of a group and the group it stands for.

use orchestratum_core::task::{GroupLife, GroupPolicy, GroupSpec, GroupStatus};
use orchestratum_core::{GroupId, JsonText, TaskId};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::rows::{damaged, get, group_id, maybe_timestamp, number, timestamp};
use crate::{AfterGroup, Error, Group};

const TABLE: &str = "task_groups";

/// The columns of [`group`], as they were counted.
macro_rules! counted_columns {
    () => {
        "g.id, g.name, g.policy, g.on_complete, g.on_failure, g.size, g.created_at, g.status, g.remaining, g.failed, g.reason,
         g.finished_at, g.follow_up_id, g.missing_name, g.missing_reason"
    };
}
pub(super) use counted_columns;

/// The same with what is still to be counted.
macro_rules! group_columns {
    () => {
        "g.id, g.name, g.policy, g.on_complete, g.on_failure, g.size, g.created_at, g.status,
         g.remaining - coalesce((SELECT sum(e.ended) FROM group_ends e WHERE e.group_id = g.id), 0) AS remaining,
         g.failed + coalesce((SELECT sum(e.failed) FROM group_ends e WHERE e.group_id = g.id), 0) AS failed,
         g.reason, g.finished_at, g.follow_up_id, g.missing_name, g.missing_reason"
    };
}
pub(super) use group_columns;

pub(super) fn group(row: &SqliteRow) -> Result<Group, Error> {
    let id = group_id(row, "id")?;
    let json = |column| Ok::<_, Error>(get::<Option<String>>(row, column)?.map(JsonText::trusted));
    let policy: i64 = get(row, "policy")?;
    let policy = i16::try_from(policy)
        .ok()
        .and_then(GroupPolicy::from_code)
        .ok_or_else(|| damaged(TABLE, "policy", id, format!("{policy} is no policy")))?;
    let follow_up: Option<Uuid> = get(row, "follow_up_id")?;
    let reason: Option<String> = get(row, "missing_reason")?;
    let after = match (follow_up, reason) {
        (Some(task), _) => Some(AfterGroup::Task(TaskId(task))),
        (None, Some(reason)) => Some(AfterGroup::Missing {
            name: get::<Option<String>>(row, "missing_name")?.unwrap_or_default(),
            reason,
        }),
        (None, None) => None,
    };
    Ok(Group {
        spec: GroupSpec {
            id,
            name: get(row, "name")?,
            policy,
            on_complete: json("on_complete")?,
            on_failure: json("on_failure")?,
            size: number(row, TABLE, "size", id)?,
            created_at: timestamp(row, "created_at")?,
        },
        life: GroupLife {
            status: status(row, id)?,
            remaining: number(row, TABLE, "remaining", id)?,
            failed: number(row, TABLE, "failed", id)?,
        },
        reason: get(row, "reason")?,
        finished_at: maybe_timestamp(row, "finished_at")?,
        after,
    })
}

pub(super) fn status(row: &SqliteRow, id: GroupId) -> Result<GroupStatus, Error> {
    let code: i64 = get(row, "status")?;
    i16::try_from(code)
        .ok()
        .and_then(GroupStatus::from_code)
        .ok_or_else(|| damaged(TABLE, "status", id, format!("{code} is no status")))
}
