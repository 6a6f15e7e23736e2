//! One step of a script, and how a store performs it.

use std::time::Duration;

use crate::conformance::lab::target;
use orchestratum_core::{GroupId, Target, TaskId, Timestamp, WorkerId};
use orchestratum_store::{
    Audit, Change, ClaimRequest, CreateRequest, LogAppend, NewGroup, Registration, Store, TaskFilter, UnofferedSearch,
};

use super::answer::{self, Answer, Groups, Overview, Whole, sorted};
use super::script::TARGETS;

/// More than a script ever has.
pub(crate) const PLENTY: usize = 10_000;

pub(crate) const RUNNING_GRACE: Duration = Duration::from_secs(3);

pub(crate) const UNOFFERED_FOR: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Advance(Duration),
    Create(Vec<CreateRequest>),
    Claim(ClaimRequest),
    Apply(Vec<Change>),
    Append(Vec<LogAppend>),
    Delete(TaskId),
    Register(Registration),
    Leave(WorkerId),
    Renew(WorkerId, Duration),
    MarkDead,
    SetPaused(Target, bool),
    ReleaseDue,
    Feed { target: Target, force: bool },
    PurgeFinished(Timestamp),
    List(Box<TaskFilter>),
    ReadAll(Vec<TaskId>),
    Children(Vec<TaskId>),
    Overview,
    CreateGroup(Box<NewGroup>),
    CancelGroup(GroupId),
    SettleGroup(GroupId, u128),
    Groups,
}

/// Why somebody cancels a group.
pub(crate) const CANCELLED: &str = "enough";

pub(crate) fn audit() -> Audit {
    Audit {
        actor: None,
        action: "patch",
        detail: None,
    }
}

impl Operation {
    /// The store does it. Its failures are failures of the test.
    pub(crate) async fn perform(&self, store: &dyn Store, now: Timestamp) -> Answer {
        self.try_perform(store, now).await.expect("the store works")
    }

    async fn try_perform(&self, store: &dyn Store, now: Timestamp) -> Result<Answer, orchestratum_store::Error> {
        Ok(match self {
            Self::Advance(_) => Answer::Nothing,
            Self::Create(requests) => Answer::Created(store.create(requests, now).await?),
            Self::Claim(request) => Answer::claimed(store.claim(request, now).await?.iter().map(answer::claim)),
            Self::Apply(changes) => Answer::Applied(store.apply(changes, now).await?),
            Self::Append(appends) => Answer::appended(store.append_logs(appends).await?),
            Self::Delete(task) => Answer::Deleted(store.delete(*task, &audit(), now).await?),
            Self::Register(registration) => {
                store.register(registration, now).await?;
                Answer::Nothing
            }
            Self::Leave(worker) => {
                store.leave(*worker, now).await?;
                Answer::Nothing
            }
            Self::Renew(worker, lease) => {
                let renewal = store.lease_keeper().await?.renew(*worker, *lease, now).await?;
                Answer::Renewed(answer::renewal(renewal))
            }
            Self::MarkDead => Answer::Workers(sorted(store.mark_dead(now).await?)),
            Self::SetPaused(target, paused) => {
                store.set_paused(target, *paused, &audit(), now).await?;
                Answer::Nothing
            }
            Self::ReleaseDue => Answer::tasks(
                store
                    .release_due(now, PLENTY)
                    .await?
                    .into_iter()
                    .map(|ready| ready.task),
            ),
            Self::Feed { target, force } => {
                let fed = store.feed(target, PLENTY, PLENTY, *force, now).await?;
                Answer::tasks(fed.into_iter().map(|ready| ready.task))
            }
            Self::PurgeFinished(before) => Answer::Count(store.purge_finished(*before, PLENTY).await?),
            Self::List(filter) => {
                let page = store.list(filter, None, PLENTY).await?;
                Answer::Tasks(page.items.into_iter().map(|task| task.spec.id).collect())
            }
            Self::Children(parents) => {
                Answer::Children(Box::new(store.children(parents, PLENTY, usize::MAX >> 1).await?))
            }
            Self::ReadAll(ids) => Answer::Whole(whole(store, ids).await?),
            Self::Overview => Answer::Overview(Box::new(overview(store, now).await?)),
            Self::CreateGroup(group) => Answer::CreatedGroup(store.create_group(group, now).await?),
            Self::CancelGroup(group) => {
                Answer::CancelledGroup(store.cancel_group(*group, Some(CANCELLED), &audit(), now).await?)
            }
            Self::SettleGroup(group, seed) => Answer::Settled(store.settle_group(*group, *seed, now).await?),
            Self::Groups => Answer::Groups(Box::new(groups(store).await?)),
        })
    }
}

pub(super) async fn whole(store: &dyn Store, ids: &[TaskId]) -> Result<Vec<Whole>, orchestratum_store::Error> {
    let mut read = Vec::new();
    for task in store.tasks(ids).await? {
        let id = task.spec.id;
        read.push(Whole {
            task,
            attempts: store.attempts(id, 0).await?.items,
            dispatch: store.dispatch(id).await?,
        });
    }
    Ok(read)
}

async fn overview(store: &dyn Store, now: Timestamp) -> Result<Overview, orchestratum_store::Error> {
    Ok(Overview {
        pulse: store.pulse(now, RUNNING_GRACE).await?,
        counts: store.counts(1_000).await?,
        queues: store.queues().await?,
        expired_pending: sorted(store.expired_pending(now, PLENTY).await?),
        overdue_running: sorted(store.overdue_running(now, PLENTY).await?),
        orphans: sorted(store.orphans(PLENTY).await?.iter().map(answer::orphan)),
        unoffered: sorted(unoffered(store, now).await?),
    })
}

async fn groups(store: &dyn Store) -> Result<Groups, orchestratum_store::Error> {
    let to_cancel = store.members_to_cancel(None, PLENTY).await?.members;
    Ok(Groups {
        items: store.groups(None, None, PLENTY).await?.items,
        unsettled: sorted(store.unsettled_groups(PLENTY).await?),
        to_cancel: sorted(to_cancel.into_iter().map(|(task, _)| task)),
    })
}

async fn unoffered(store: &dyn Store, now: Timestamp) -> Result<Vec<TaskId>, orchestratum_store::Error> {
    let mut tasks = Vec::new();
    for name in TARGETS {
        let search = UnofferedSearch {
            target: target(name),
            after: None,
            since: now - UNOFFERED_FOR,
            now,
            names: PLENTY,
            tasks: PLENTY,
        };
        let found = store.unoffered(&search).await?.tasks;
        tasks.extend(found.into_iter().map(|task| task.id));
    }
    Ok(tasks)
}
