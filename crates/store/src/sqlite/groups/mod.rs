//! Groups: one file a statement family, this one only says who does what.

mod change;
mod create;
mod read;
mod row;
mod settle;
mod stop;

use std::collections::BTreeMap;

use async_trait::async_trait;
use orchestratum_core::task::{GroupPlace, GroupStatus, TaskStatus};
use orchestratum_core::{GroupId, Timestamp};

use super::SqliteStore;
use crate::{
    Audit, CancelGroupOutcome, CreateGroupOutcome, DeleteGroupOutcome, Error, Group, GroupPage, GroupStore, MemberPage,
    MemberSearch, MembersToCancel, NewGroup, Settled,
};

#[async_trait]
impl GroupStore for SqliteStore {
    async fn create_group(&self, group: &NewGroup, now: Timestamp) -> Result<CreateGroupOutcome, Error> {
        create::create(self, group, now).await
    }

    async fn group(&self, group: GroupId) -> Result<Option<Group>, Error> {
        read::group(self, group).await
    }

    async fn group_status(&self, group: GroupId) -> Result<Option<GroupStatus>, Error> {
        read::status(self, group).await
    }

    async fn member_counts(&self, group: GroupId) -> Result<BTreeMap<TaskStatus, u64>, Error> {
        read::member_counts(self, group).await
    }

    async fn groups(
        &self,
        status: Option<GroupStatus>,
        before: Option<GroupId>,
        limit: usize,
    ) -> Result<GroupPage, Error> {
        read::groups(self, status, before, limit).await
    }

    async fn members(&self, search: &MemberSearch) -> Result<MemberPage, Error> {
        read::members(self, search).await
    }

    async fn cancel_group(
        &self,
        group: GroupId,
        reason: Option<&str>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<CancelGroupOutcome, Error> {
        change::cancel(self, group, reason, audit, now).await
    }

    async fn delete_group(&self, group: GroupId, audit: &Audit, now: Timestamp) -> Result<DeleteGroupOutcome, Error> {
        change::delete(self, group, audit, now).await
    }

    async fn unsettled_groups(&self, limit: usize) -> Result<Vec<GroupId>, Error> {
        settle::unsettled(self, limit).await
    }

    async fn settle_group(&self, group: GroupId, seed: u128, now: Timestamp) -> Result<Option<Settled>, Error> {
        settle::settle(self, group, seed, now).await
    }

    async fn members_to_cancel(&self, after: Option<GroupPlace>, limit: usize) -> Result<MembersToCancel, Error> {
        stop::members_to_cancel(self, after, limit).await
    }
}
