//! Groups: many tasks, and the one that comes after them.
//!
//! What the end of a member means for its group is written with that end, as a row that waits to be counted: finishing never
//! waits for other batches at the row of a group. [`settle_group`](GroupStore::settle_group) counts them, one transaction a group,
//! and writes in it what comes after the last one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use orchestratum_core::task::{GroupLife, GroupPlace, GroupSpec, GroupStatus, TaskStatus};
use orchestratum_core::{GroupId, Origin, Target, TaskId, TaskName, Timestamp};

use crate::{Audit, Error, IdempotencyKey, NewTask, Ready, Task};

/// A group to be stored with its members.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub spec: GroupSpec,
    pub tasks: Vec<NewTask>,
    /// SHA-256 of the request, kept where the caller chose the id: the same id and body again is the same group.
    pub request_hash: Option<[u8; 32]>,
    pub idempotency: Option<IdempotencyKey>,
    /// Of what comes after it.
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateGroupOutcome {
    /// It is stored, by this call or by one of ours whose answer was lost. `ready` are those of its members that asked for
    /// something and got it, and others that became ready with them.
    Created { ready: Vec<Ready> },
    /// The key was used before with the same body: this is the group it made. Nothing was stored.
    Replayed { id: GroupId },
    /// The key was used before with another body. Nothing was stored.
    KeyReused,
    /// The group with this caller-chosen id exists and came from the same body. Nothing was stored.
    Exists,
    /// Another group has this id. Nothing was stored.
    IdTaken,
}

/// A group as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub spec: GroupSpec,
    /// With what its members have told so far, counted or not.
    pub life: GroupLife,
    /// Why it is cancelled.
    pub reason: Option<String>,
    pub finished_at: Option<Timestamp>,
    pub after: Option<AfterGroup>,
}

/// What came after a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterGroup {
    Task(TaskId),
    /// It could not be made.
    Missing {
        /// What was to run, as far as that is known.
        name: String,
        reason: String,
    },
}

/// One page of a list, newest first.
#[derive(Debug, Clone, Default)]
pub struct GroupPage {
    pub items: Vec<Group>,
    /// Ask for groups before this id to go on.
    pub next: Option<GroupId>,
}

/// Which members a list shows.
#[derive(Debug, Clone, Copy)]
pub struct MemberSearch {
    pub group: GroupId,
    pub status: Option<TaskStatus>,
    /// The `next` of the page before.
    pub after: Option<u16>,
    pub limit: usize,
}

/// One page of the members of a group, in their order.
#[derive(Debug, Clone, Default)]
pub struct MemberPage {
    pub items: Vec<Task>,
    /// Ask for members after this place to go on.
    pub next: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelGroupOutcome {
    /// Its members are to be cancelled.
    Cancelling,
    /// It is being cancelled, or was: the first reason stays.
    Before,
    /// It ended in another way, or is about to.
    Over {
        status: GroupStatus,
    },
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteGroupOutcome {
    Deleted,
    NotOver { status: GroupStatus },
    NotFound,
}

/// What counting the ends of a group's members led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    pub before: GroupStatus,
    pub after: GroupStatus,
    /// What comes after it, written in the same commit.
    pub task: Option<TaskAfterGroup>,
    /// That task, if it asked for something and got it, and others that became ready with it.
    pub ready: Vec<Ready>,
    pub missing: Option<String>,
}

/// A task that was written after a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAfterGroup {
    pub task: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub due_at: Timestamp,
    /// It needs a place or a start before it is ready: if it got one, it is among the [ready](Settled::ready).
    pub asks: bool,
}

/// What a look at members of groups that are to stop has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembersToCancel {
    /// Those that are not over, and not being cancelled.
    pub members: Vec<(TaskId, GroupStatus)>,
    /// Look on after this place; `None` if there are no others.
    pub next: Option<GroupPlace>,
}

#[async_trait]
pub trait GroupStore: Send + Sync {
    /// Stores a group with all its members and their dispatch rows, or nothing.
    async fn create_group(&self, group: &NewGroup, now: Timestamp) -> Result<CreateGroupOutcome, Error>;

    async fn group(&self, group: GroupId) -> Result<Option<Group>, Error>;

    /// Where it stands: much less to read than all of it.
    async fn group_status(&self, group: GroupId) -> Result<Option<GroupStatus>, Error>;

    /// How many of its members have each status, for those that some have. Deleted ones have none.
    async fn member_counts(&self, group: GroupId) -> Result<BTreeMap<TaskStatus, u64>, Error>;

    /// `before` is the `next` of the page before. A page may end before `limit`: see [`PAGE_BYTES`](crate::PAGE_BYTES).
    async fn groups(
        &self,
        status: Option<GroupStatus>,
        before: Option<GroupId>,
        limit: usize,
    ) -> Result<GroupPage, Error>;

    /// A page may end before its limit: see [`PAGE_BYTES`](crate::PAGE_BYTES).
    async fn members(&self, search: &MemberSearch) -> Result<MemberPage, Error>;

    /// Lets its members be cancelled, which the loop for groups does.
    async fn cancel_group(
        &self,
        group: GroupId,
        reason: Option<&str>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<CancelGroupOutcome, Error>;

    /// Forgets a group that is over. Its members stay.
    async fn delete_group(&self, group: GroupId, audit: &Audit, now: Timestamp) -> Result<DeleteGroupOutcome, Error>;

    /// Groups of which members have ended that are not counted.
    async fn unsettled_groups(&self, limit: usize) -> Result<Vec<GroupId>, Error>;

    /// Counts the ends of its members, and writes what comes after the last one, in one commit. `None` if somebody else does so at
    /// the moment, or it is gone: then what its members told is forgotten. `seed` is where the id of what comes after it comes from.
    async fn settle_group(&self, group: GroupId, seed: u128, now: Timestamp) -> Result<Option<Settled>, Error>;

    /// Looks at members of groups that are to stop, at most `limit`; `after` is the `next` of the look before.
    async fn members_to_cancel(&self, after: Option<GroupPlace>, limit: usize) -> Result<MembersToCancel, Error>;
}
