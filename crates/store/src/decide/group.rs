//! Groups: what a create answers, and what the ends of members lead to.

use orchestratum_core::task::{
    GroupEnd, GroupEnds, GroupLife, GroupSpec, GroupStatus, MemberEnd, SpecLimits, TaskState,
};
use orchestratum_core::{GroupId, Origin, TaskId, Timestamp};

use super::follow::task_id_at;
use super::{KeptKey, Repeat};
use crate::{
    AfterGroup, Announce, CancelGroupOutcome, CreateGroupOutcome, MemberPage, NewGroup, NewTask, Settled, Task,
    TaskAfterGroup,
};

/// The answer to a create of which nothing is to be stored; `None` if all of it is. `kept` is its idempotency key if that was used,
/// `existing` the hash of the group with its id, if there is one.
#[expect(clippy::option_option, reason = "whether there is one, and whether it has a hash")]
pub(crate) fn create_group(
    group: &NewGroup,
    kept: Option<&KeptKey>,
    existing: Option<Option<[u8; 32]>>,
) -> Option<CreateGroupOutcome> {
    let id = group.spec.id;
    if let (Some(kept), Some(key)) = (kept, &group.idempotency) {
        return Some(match kept.repeat(key, id.0) {
            Repeat::Reused => CreateGroupOutcome::KeyReused,
            Repeat::Ours if group.request_hash.is_none() => CreateGroupOutcome::Created { ready: Vec::new() },
            Repeat::Ours => CreateGroupOutcome::Replayed { id },
            Repeat::Replayed(id) => CreateGroupOutcome::Replayed { id: GroupId(id) },
        });
    }
    match existing {
        None => None,
        // An id of our own making is never made twice.
        Some(None) if group.request_hash.is_none() => Some(CreateGroupOutcome::Created { ready: Vec::new() }),
        Some(hash) if hash.is_some() && hash == group.request_hash => Some(CreateGroupOutcome::Exists),
        Some(_) => Some(CreateGroupOutcome::IdTaken),
    }
}

/// A group under its lock.
#[derive(Debug)]
pub(crate) struct LockedGroup {
    pub(crate) spec: GroupSpec,
    /// As it was counted before.
    pub(crate) life: GroupLife,
    pub(crate) origin: Origin,
}

/// Its members, read after their ends were counted.
#[derive(Debug, Default)]
pub(crate) struct JoinedMembers {
    /// In their order.
    pub(crate) ends: Vec<MemberEnd>,
    pub(crate) outputs_bytes: u64,
}

/// What is to be written of a group.
#[derive(Debug)]
pub(crate) struct Settling {
    pub(crate) life: GroupLife,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) task: Option<NewTask>,
    pub(crate) after: Option<AfterGroup>,
    pub(crate) settled: Settled,
}

/// After the ends of members. `Err` asks for the members: with this life it is over.
pub(crate) fn counted(group: &LockedGroup, ends: GroupEnds) -> Result<Settling, GroupLife> {
    let life = group.life.moved(group.spec.policy, ends);
    if life.status.is_over() && !group.life.status.is_over() {
        Err(life)
    } else {
        Ok(Settling::still(group, life))
    }
}

/// The end of a group, with what comes after it.
pub(crate) fn joined(
    group: &LockedGroup,
    life: GroupLife,
    members: &JoinedMembers,
    limits: &SpecLimits,
    seed: u128,
    now: Timestamp,
) -> Settling {
    if members.ends.iter().any(|member| !member.status.is_terminal()) {
        // It runs again since what it told before was counted; what it tells of that is still to be counted.
        return Settling::still(group, life.still(group.life.status));
    }
    let end = GroupEnd {
        spec: &group.spec,
        status: life.status,
        members: &members.ends,
        outputs_bytes: members.outputs_bytes,
    };
    let mut settling = Settling::still(group, life);
    settling.finished_at = Some(now);
    match end.follow_up(id_after_group(group.spec.id, seed, now), limits, now) {
        None => {}
        Some(Ok(made)) => {
            let (spec, life) = *made;
            settling.after = Some(AfterGroup::Task(spec.id));
            settling.settled.task = Some(TaskAfterGroup {
                task: spec.id,
                name: spec.name.clone(),
                target: spec.target.clone(),
                asks: spec.conditions.as_ref().is_some_and(|conditions| conditions.gates()),
                due_at: match life.state {
                    TaskState::Pending { due_at } => due_at,
                    _ => life.scheduled_at,
                },
            });
            settling.task = Some(NewTask {
                spec,
                life,
                // Whoever settles the group, right after the commit.
                announce: Announce::ByCaller,
                request_hash: None,
                origin: group.origin.clone(),
            });
        }
        Some(Err(unmade)) => {
            settling.settled.missing = Some(unmade.reason.clone());
            settling.after = Some(AfterGroup::Missing {
                name: unmade.name,
                reason: unmade.reason,
            });
        }
    }
    settling
}

impl Settling {
    /// What was to come after it is unique, and this task is like it.
    pub(crate) fn meets(&mut self, other: TaskId) {
        let Some(task) = self.task.take() else { return };
        let reason = format!("task {other} is like it");
        self.settled.task = None;
        self.settled.missing = Some(reason.clone());
        self.after = Some(AfterGroup::Missing {
            name: task.spec.name.to_string(),
            reason,
        });
    }

    fn still(group: &LockedGroup, life: GroupLife) -> Self {
        Self {
            life,
            finished_at: None,
            task: None,
            after: None,
            settled: Settled {
                before: group.life.status,
                after: life.status,
                task: None,
                ready: Vec::new(),
                missing: None,
            },
        }
    }
}

/// The id of what comes after a group: a UUIDv7 of this moment, which nobody knows before who does not know the seed.
pub fn id_after_group(group: GroupId, seed: u128, now: Timestamp) -> TaskId {
    task_id_at(0, seed ^ group.0.as_u128(), now)
}

/// What a caller's cancel does to a group that stands so; `None` if its members are to be cancelled now.
pub(crate) fn cancel_group(status: GroupStatus) -> Option<CancelGroupOutcome> {
    match status {
        GroupStatus::Running => None,
        GroupStatus::Cancelling | GroupStatus::Cancelled => Some(CancelGroupOutcome::Before),
        GroupStatus::Failing | GroupStatus::Completed | GroupStatus::Failed => {
            Some(CancelGroupOutcome::Over { status })
        }
    }
}

/// A page of members, of so many that were found.
pub(crate) fn member_page(items: Vec<Task>, found: usize) -> MemberPage {
    let last = items.last().and_then(|task| task.spec.group);
    MemberPage {
        next: last.map(|place| place.index).filter(|_| found > items.len()),
        items,
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::task::GroupPolicy;
    use uuid::Uuid;

    use super::*;
    use crate::IdempotencyKey;

    fn group(hash: Option<u8>, key: Option<u8>) -> NewGroup {
        NewGroup {
            spec: GroupSpec {
                id: GroupId(Uuid::from_u128(1)),
                name: None,
                policy: GroupPolicy::Fail,
                on_complete: None,
                on_failure: None,
                size: 1,
                created_at: Timestamp::EPOCH,
            },
            tasks: Vec::new(),
            request_hash: hash.map(|byte| [byte; 32]),
            idempotency: key.map(|byte| IdempotencyKey {
                scope: "s".to_owned(),
                key: "k".to_owned(),
                body_hash: [byte; 32],
            }),
            origin: Origin::default(),
        }
    }

    #[test]
    fn a_repeated_create_is_told_apart_from_another_one() {
        let kept = |id: u128, byte: u8| KeptKey {
            body_hash: [byte; 32],
            ids: vec![Uuid::from_u128(id)],
        };
        let first = GroupId(Uuid::from_u128(9));
        for (group, kept, existing, outcome) in [
            (group(None, None), None, None, None),
            (
                group(None, None),
                None,
                Some(None),
                Some(CreateGroupOutcome::Created { ready: Vec::new() }),
            ),
            (
                group(Some(3), None),
                None,
                Some(Some([3; 32])),
                Some(CreateGroupOutcome::Exists),
            ),
            (
                group(Some(3), None),
                None,
                Some(Some([4; 32])),
                Some(CreateGroupOutcome::IdTaken),
            ),
            (
                group(Some(3), None),
                None,
                Some(None),
                Some(CreateGroupOutcome::IdTaken),
            ),
            (
                group(None, Some(5)),
                Some(kept(9, 5)),
                None,
                Some(CreateGroupOutcome::Replayed { id: first }),
            ),
            (
                group(None, Some(5)),
                Some(kept(1, 5)),
                None,
                Some(CreateGroupOutcome::Created { ready: Vec::new() }),
            ),
            (
                group(None, Some(6)),
                Some(kept(9, 5)),
                None,
                Some(CreateGroupOutcome::KeyReused),
            ),
        ] {
            assert_eq!(create_group(&group, kept.as_ref(), existing), outcome);
        }
    }
}
