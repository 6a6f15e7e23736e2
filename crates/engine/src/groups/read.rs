//! Reading groups, and waiting for their end.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestratum_core::GroupId;
use orchestratum_core::task::{GroupStatus, TaskStatus};
use orchestratum_store::{Group, GroupPage, MemberPage, MemberSearch};
use tokio::time::{Instant, sleep};

use crate::waiters::ASK_EVERY;
use crate::{Engine, Error};

/// A group, and how its members stand.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupState {
    pub group: Group,
    /// How many members have each status; every status has an entry. Deleted members have none.
    pub members: BTreeMap<TaskStatus, u64>,
}

impl GroupState {
    /// Of a group that was just created.
    pub(super) fn new(group: Group) -> Self {
        let pending = BTreeMap::from([(TaskStatus::Pending, u64::from(group.spec.size))]);
        Self::with(group, &pending)
    }

    fn with(group: Group, counts: &BTreeMap<TaskStatus, u64>) -> Self {
        let count = |status: &TaskStatus| (*status, counts.get(status).copied().unwrap_or(0));
        Self {
            group,
            members: TaskStatus::ALL.iter().map(count).collect(),
        }
    }
}

impl Engine {
    /// # Errors
    /// [`Error::GroupNotFound`].
    pub async fn group(&self, group: GroupId) -> Result<GroupState, Error> {
        let found = self
            .parts
            .store
            .group(group)
            .await?
            .ok_or(Error::GroupNotFound(group))?;
        let counts = self.parts.store.member_counts(group).await?;
        Ok(GroupState::with(found, &counts))
    }

    /// The group when it is over, or as it is after `patience`, or when [`stop_waiting`](Self::stop_waiting) was called.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`].
    pub async fn wait_for_group(&self, group: GroupId, patience: Duration) -> Result<GroupState, Error> {
        let until = Instant::now() + patience;
        loop {
            let status = self.parts.store.group_status(group).await?;
            let left = until.saturating_duration_since(Instant::now());
            if status.is_none_or(GroupStatus::is_over) || left.is_zero() || self.parts.waiters.gave_up() {
                return self.group(group).await;
            }
            tokio::select! {
                () = sleep(ASK_EVERY.min(left)) => {}
                () = self.parts.waiters.giving_up() => {}
            }
        }
    }

    /// Groups, newest first. `before` is the `next` of the page before.
    pub async fn groups(
        &self,
        status: Option<GroupStatus>,
        before: Option<GroupId>,
        limit: usize,
    ) -> Result<GroupPage, Error> {
        Ok(self.parts.store.groups(status, before, limit).await?)
    }

    /// The members of a group, in their order.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`].
    pub async fn members(&self, search: &MemberSearch) -> Result<MemberPage, Error> {
        let status = self.parts.store.group_status(search.group).await?;
        status.ok_or(Error::GroupNotFound(search.group))?;
        Ok(self.parts.store.members(search).await?)
    }
}
