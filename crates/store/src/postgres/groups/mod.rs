//! Groups. One file a use case.

mod cancel;
mod create;
mod read;
mod row;
mod settle;
mod stop;

use std::collections::BTreeMap;

use async_trait::async_trait;
use orchestratum_core::task::{GroupPlace, GroupStatus, TaskStatus};
use orchestratum_core::{GroupId, Timestamp};

use super::PostgresStore;
use crate::{
    Audit, CancelGroupOutcome, CreateGroupOutcome, DeleteGroupOutcome, Error, Group, GroupPage, GroupStore, MemberPage,
    MemberSearch, MembersToCancel, NewGroup, Settled,
};

#[async_trait]
impl GroupStore for PostgresStore {
    async fn create_group(&self, group: &NewGroup, now: Timestamp) -> Result<CreateGroupOutcome, Error> {
        create::create(&self.database, group, now).await
    }

    async fn group(&self, group: GroupId) -> Result<Option<Group>, Error> {
        read::group(&self.database, group).await
    }

    async fn group_status(&self, group: GroupId) -> Result<Option<GroupStatus>, Error> {
        read::status(&self.database, group).await
    }

    async fn member_counts(&self, group: GroupId) -> Result<BTreeMap<TaskStatus, u64>, Error> {
        read::member_counts(&self.database, group).await
    }

    async fn groups(
        &self,
        status: Option<GroupStatus>,
        before: Option<GroupId>,
        limit: usize,
    ) -> Result<GroupPage, Error> {
        read::groups(&self.database, status, before, limit).await
    }

    async fn members(&self, search: &MemberSearch) -> Result<MemberPage, Error> {
        self.members_of_group(search).await
    }

    async fn cancel_group(
        &self,
        group: GroupId,
        reason: Option<&str>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<CancelGroupOutcome, Error> {
        cancel::cancel(&self.database, group, reason, audit, now).await
    }

    async fn delete_group(&self, group: GroupId, audit: &Audit, now: Timestamp) -> Result<DeleteGroupOutcome, Error> {
        cancel::delete(&self.database, group, audit, now).await
    }

    async fn unsettled_groups(&self, limit: usize) -> Result<Vec<GroupId>, Error> {
        settle::unsettled(&self.database, limit).await
    }

    async fn settle_group(&self, group: GroupId, seed: u128, now: Timestamp) -> Result<Option<Settled>, Error> {
        settle::settle(&self.database, group, seed, now).await
    }

    async fn members_to_cancel(&self, after: Option<GroupPlace>, limit: usize) -> Result<MembersToCancel, Error> {
        stop::members_to_cancel(&self.database, after, limit).await
    }
}
