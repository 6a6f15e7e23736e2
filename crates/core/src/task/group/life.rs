//! Where a group stands, by how its members do.

use super::{GroupPolicy, GroupSpec, GroupStatus};
use crate::task::status::TaskStatus;

/// What changes of members mean for their group: how many more of them are over than before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupEnds {
    /// Less than 0 where members run once more.
    pub ended: i32,
    /// Of those, how many without success.
    pub failed: i32,
}

impl GroupEnds {
    /// Of one member.
    pub const fn of(before: TaskStatus, after: TaskStatus) -> Self {
        let (was, is) = (Self::counted(before), Self::counted(after));
        Self {
            ended: is.ended - was.ended,
            failed: is.failed - was.failed,
        }
    }

    const fn counted(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Pending | TaskStatus::InProgress => Self { ended: 0, failed: 0 },
            TaskStatus::Completed => Self { ended: 1, failed: 0 },
            TaskStatus::Failed | TaskStatus::Expired | TaskStatus::Cancelled => Self { ended: 1, failed: 1 },
        }
    }

    pub const fn add(&mut self, more: Self) {
        self.ended += more.ended;
        self.failed += more.failed;
    }

    pub const fn is_nothing(self) -> bool {
        self.ended == 0 && self.failed == 0
    }
}

/// How a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLife {
    pub status: GroupStatus,
    /// Members that are not over.
    pub remaining: i32,
    /// Members that are over without success.
    pub failed: i32,
}

impl GroupLife {
    pub fn new(spec: &GroupSpec) -> Self {
        Self {
            status: GroupStatus::Running,
            remaining: i32::from(spec.size),
            failed: 0,
        }
    }

    /// After changes of its members. Where all of them are over now, its status is over too: then, and only then, comes what
    /// follows it.
    #[must_use]
    pub fn moved(self, policy: GroupPolicy, ends: GroupEnds) -> Self {
        use GroupStatus::{Cancelled, Cancelling, Completed, Failed, Failing, Running};
        let remaining = self.remaining - ends.ended;
        let failed = self.failed + ends.failed;
        let is_failing = policy == GroupPolicy::Fail && failed > 0;
        let is_over = remaining == 0;
        let status = match self.status {
            Running if is_failing && is_over => Failed,
            Running if is_failing => Failing,
            Running if is_over => Completed,
            Failing if is_over => Failed,
            Cancelling if is_over => Cancelled,
            status @ (Running | Failing | Cancelling | Completed | Failed | Cancelled) => status,
        };
        Self {
            status,
            remaining,
            failed,
        }
    }

    /// The same counts, where some members were found to be running again before anything was written: what they say of it is
    /// still on its way.
    #[must_use]
    pub fn still(self, before: GroupStatus) -> Self {
        let status = match self.status {
            GroupStatus::Running | GroupStatus::Completed => GroupStatus::Running,
            GroupStatus::Failing | GroupStatus::Failed => GroupStatus::Failing,
            GroupStatus::Cancelling | GroupStatus::Cancelled => GroupStatus::Cancelling,
        };
        Self {
            status: if before.is_over() { before } else { status },
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn life(status: GroupStatus, remaining: i32, failed: i32) -> GroupLife {
        GroupLife {
            status,
            remaining,
            failed,
        }
    }

    const fn ends(ended: i32, failed: i32) -> GroupEnds {
        GroupEnds { ended, failed }
    }

    #[test]
    fn every_change_of_a_member_is_counted_and_its_way_back_takes_it_off() {
        for before in TaskStatus::ALL {
            for after in TaskStatus::ALL {
                let mut both = GroupEnds::of(*before, *after);
                let is = |status: &TaskStatus| {
                    (
                        status.is_terminal(),
                        status.is_terminal() && *status != TaskStatus::Completed,
                    )
                };
                let ((was_over, had_failed), (is_over, has_failed)) = (is(before), is(after));
                assert_eq!(both.ended, i32::from(is_over) - i32::from(was_over));
                assert_eq!(both.failed, i32::from(has_failed) - i32::from(had_failed));
                both.add(GroupEnds::of(*after, *before));
                assert!(both.is_nothing(), "{before} {after}");
            }
        }
    }

    #[test]
    fn a_group_ends_with_its_last_member_in_the_way_of_its_policy() {
        use GroupStatus::{Cancelled, Cancelling, Completed, Failed, Failing, Running};
        for (policy, before, moved, after) in [
            (GroupPolicy::Fail, life(Running, 3, 0), ends(2, 0), life(Running, 1, 0)),
            (
                GroupPolicy::Fail,
                life(Running, 1, 0),
                ends(1, 0),
                life(Completed, 0, 0),
            ),
            (GroupPolicy::Fail, life(Running, 3, 0), ends(1, 1), life(Failing, 2, 1)),
            (GroupPolicy::Fail, life(Running, 1, 0), ends(1, 1), life(Failed, 0, 1)),
            // What made it fail may run again: it fails all the same.
            (
                GroupPolicy::Fail,
                life(Failing, 2, 1),
                ends(-1, -1),
                life(Failing, 3, 0),
            ),
            (GroupPolicy::Fail, life(Failing, 2, 1), ends(2, 0), life(Failed, 0, 1)),
            (
                GroupPolicy::Continue,
                life(Running, 3, 0),
                ends(2, 2),
                life(Running, 1, 2),
            ),
            (
                GroupPolicy::Continue,
                life(Running, 1, 2),
                ends(1, 1),
                life(Completed, 0, 3),
            ),
            (
                GroupPolicy::Continue,
                life(Running, 1, 2),
                ends(-1, -1),
                life(Running, 2, 1),
            ),
            (
                GroupPolicy::Continue,
                life(Cancelling, 2, 0),
                ends(2, 2),
                life(Cancelled, 0, 2),
            ),
            // Over is over.
            (
                GroupPolicy::Continue,
                life(Completed, 0, 1),
                ends(-1, -1),
                life(Completed, 1, 0),
            ),
            (
                GroupPolicy::Fail,
                life(Completed, 1, 0),
                ends(1, 1),
                life(Completed, 0, 1),
            ),
            (GroupPolicy::Fail, life(Failed, 0, 1), ends(0, 0), life(Failed, 0, 1)),
        ] {
            assert_eq!(before.moved(policy, moved), after, "{before:?} {moved:?}");
        }
    }

    #[test]
    fn a_group_whose_member_runs_again_is_not_over() {
        use GroupStatus::{Completed, Failed, Failing, Running};
        let moved = life(Running, 1, 0).moved(GroupPolicy::Fail, ends(1, 0));
        assert_eq!(moved.still(Running), life(Running, 0, 0));
        assert_eq!(life(Failed, 0, 1).still(Failing), life(Failing, 0, 1));
        assert_eq!(life(Completed, 0, 1).still(Completed), life(Completed, 0, 1));
    }
}
