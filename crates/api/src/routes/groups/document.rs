//! The group as it is answered.

use axum::http::HeaderValue;
use orchestratum_core::task::{GroupPolicy, GroupStatus, TaskStatus};
use orchestratum_core::{GroupId, JsonText, TaskId, Timestamp};
use orchestratum_engine::groups::GroupState;
use orchestratum_store::{AfterGroup, Group};
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::schema;

/// A group: what was asked for, and how it stands. Every field is always there; what is not known is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupDocument {
    #[schema(value_type = Uuid)]
    id: GroupId,
    name: Option<String>,
    #[schema(value_type = schema::GroupPolicy)]
    policy: GroupPolicy,
    #[schema(value_type = schema::GroupStatus)]
    status: GroupStatus,
    /// How many members it has.
    size: u16,
    /// Members that are not over.
    remaining: u32,
    /// Members that are over without success.
    failed: u32,
    #[schema(value_type = Option<schema::AfterGroup>)]
    on_complete: Option<JsonText>,
    #[schema(value_type = Option<schema::AfterGroup>)]
    on_failure: Option<JsonText>,
    /// The task that came after it.
    #[schema(value_type = Option<Uuid>)]
    follow_up_id: Option<TaskId>,
    /// What was to come after it, where it could not be made.
    missing_follow_up: Option<Missing>,
    /// Why it was cancelled.
    reason: Option<String>,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<schema::Time>)]
    finished_at: Option<Timestamp>,
}

/// What could not be made, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MissingAfterGroup)]
pub(crate) struct Missing {
    name: String,
    reason: String,
}

impl From<Group> for GroupDocument {
    fn from(group: Group) -> Self {
        let Group {
            spec,
            life,
            reason,
            finished_at,
            after,
        } = group;
        let (follow_up_id, missing_follow_up) = match after {
            Some(AfterGroup::Task(task)) => (Some(task), None),
            Some(AfterGroup::Missing { name, reason }) => (None, Some(Missing { name, reason })),
            None => (None, None),
        };
        Self {
            id: spec.id,
            name: spec.name,
            policy: spec.policy,
            status: life.status,
            size: spec.size,
            remaining: u32::try_from(life.remaining).unwrap_or(0),
            failed: u32::try_from(life.failed).unwrap_or(0),
            on_complete: spec.on_complete,
            on_failure: spec.on_failure,
            follow_up_id,
            missing_follow_up,
            reason,
            created_at: spec.created_at,
            finished_at,
        }
    }
}

impl GroupDocument {
    pub(super) fn location(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("/api/groups/{}", self.id)).expect("a UUID is visible ASCII")
    }
}

/// How many members have each status. They are counted at another moment than `remaining` and `failed`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupMembers)]
#[expect(non_snake_case, reason = "the words of the statuses")]
pub(crate) struct Counts {
    Pending: u64,
    InProgress: u64,
    Completed: u64,
    Failed: u64,
    Expired: u64,
    Cancelled: u64,
    /// Those that are no longer there.
    deleted: u64,
}

/// A group with the counts of its members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupWithMembers)]
pub(crate) struct StateDocument {
    #[serde(flatten)]
    pub(super) group: GroupDocument,
    members: Counts,
}

impl From<GroupState> for StateDocument {
    fn from(state: GroupState) -> Self {
        let count = |status| state.members.get(&status).copied().unwrap_or(0);
        let there: u64 = state.members.values().sum();
        Self {
            members: Counts {
                Pending: count(TaskStatus::Pending),
                InProgress: count(TaskStatus::InProgress),
                Completed: count(TaskStatus::Completed),
                Failed: count(TaskStatus::Failed),
                Expired: count(TaskStatus::Expired),
                Cancelled: count(TaskStatus::Cancelled),
                deleted: u64::from(state.group.spec.size).saturating_sub(there),
            },
            group: state.group.into(),
        }
    }
}
