//! The row of a group and the group it stands for.

use orchestratum_core::task::{GroupLife, GroupPolicy, GroupSpec, GroupStatus};
use orchestratum_core::{GroupId, JsonText, TaskId};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::rows::{Place, Time, timestamp};
use crate::{AfterGroup, Error, Group};

/// The columns of [`GroupRow`], from `task_groups`, as they were counted.
macro_rules! counted_columns {
    () => {
        "id, name, policy, on_complete, on_failure, size, created_at, status, remaining, failed, reason, finished_at,
        follow_up_id, missing_name, missing_reason"
    };
}
pub(super) use counted_columns;

/// The same with what is still to be counted.
macro_rules! group_columns {
    () => {
        "id, name, policy, on_complete, on_failure, size, created_at, status,
        remaining - COALESCE((SELECT sum(ended) FROM group_ends WHERE group_id = task_groups.id), 0)::integer AS remaining,
        task_groups.failed
            + COALESCE((SELECT sum(group_ends.failed) FROM group_ends WHERE group_id = task_groups.id), 0)::integer
            AS failed,
        reason, finished_at, follow_up_id, missing_name, missing_reason"
    };
}
pub(super) use group_columns;

#[derive(Debug, FromRow)]
pub(super) struct GroupRow {
    pub(super) id: Uuid,
    name: Option<String>,
    policy: i16,
    on_complete: Option<String>,
    on_failure: Option<String>,
    size: i32,
    created_at: Time,
    status: i16,
    remaining: i32,
    failed: i32,
    reason: Option<String>,
    finished_at: Option<Time>,
    follow_up_id: Option<Uuid>,
    missing_name: Option<String>,
    missing_reason: Option<String>,
}

impl GroupRow {
    pub(super) fn into_group(self) -> Result<Group, Error> {
        let place = Place {
            table: "task_groups",
            row: &self.id,
        };
        let after = match (self.follow_up_id, self.missing_reason) {
            (Some(task), _) => Some(AfterGroup::Task(TaskId(task))),
            (None, Some(reason)) => Some(AfterGroup::Missing {
                name: self.missing_name.unwrap_or_default(),
                reason,
            }),
            (None, None) => None,
        };
        Ok(Group {
            spec: GroupSpec {
                id: GroupId(self.id),
                name: self.name,
                policy: place.present("policy", GroupPolicy::from_code(self.policy))?,
                on_complete: self.on_complete.map(JsonText::trusted),
                on_failure: self.on_failure.map(JsonText::trusted),
                size: place.number("size", self.size)?,
                created_at: timestamp(self.created_at),
            },
            life: GroupLife {
                status: status(&place, self.status)?,
                remaining: self.remaining,
                failed: self.failed,
            },
            reason: self.reason,
            finished_at: self.finished_at.map(timestamp),
            after,
        })
    }
}

pub(super) fn status(place: &Place<'_>, code: i16) -> Result<GroupStatus, Error> {
    place.present("status", GroupStatus::from_code(code))
}
