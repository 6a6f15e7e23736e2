//! Groups of the model: what their members told, and what comes after them.

use std::collections::BTreeMap;

use orchestratum_core::GroupId;
use orchestratum_core::task::{
    GroupEnd, GroupEnds, GroupLife, GroupSpec, GroupStatus, MemberEnd, SpecLimits, TaskError, TaskState,
};
use orchestratum_core::{JsonText, TaskId, Timestamp};
use orchestratum_store::{
    AfterGroup, CancelGroupOutcome, CreateGroupOutcome, Group, NewGroup, Settled, TaskAfterGroup, id_after_group,
};

use super::super::answer::{Groups, sorted};
use super::{Model, Row, is_old};

#[derive(Debug, Clone)]
pub(crate) struct GroupRow {
    spec: GroupSpec,
    /// As it was counted.
    life: GroupLife,
    reason: Option<String>,
    finished_at: Option<Timestamp>,
    after: Option<AfterGroup>,
}

/// What is still to be counted: nothing is there after a batch that told nothing.
pub(super) type Waiting = BTreeMap<GroupId, GroupEnds>;

impl Model {
    pub(super) fn create_group(&mut self, new: &NewGroup) -> CreateGroupOutcome {
        let row = GroupRow {
            life: GroupLife::new(&new.spec),
            spec: new.spec.clone(),
            reason: None,
            finished_at: None,
            after: None,
        };
        self.groups.insert(new.spec.id, row);
        for task in &new.tasks {
            let row = Row::new(task.spec.clone(), task.life.clone(), None, false, self.now);
            self.tasks.insert(task.spec.id, row);
        }
        CreateGroupOutcome::Created { ready: Vec::new() }
    }

    /// What a batch of changes told.
    pub(super) fn wait_to_be_counted(&mut self, told: Waiting) {
        for (group, ends) in told {
            if !ends.is_nothing() {
                self.waiting.entry(group).or_default().add(ends);
            }
        }
    }

    pub(super) fn cancel_group(&mut self, group: GroupId, reason: &str) -> CancelGroupOutcome {
        let Some(row) = self.groups.get_mut(&group) else {
            return CancelGroupOutcome::NotFound;
        };
        match row.life.status {
            GroupStatus::Running => {
                row.life.status = GroupStatus::Cancelling;
                row.reason = Some(reason.to_owned());
                CancelGroupOutcome::Cancelling
            }
            GroupStatus::Cancelling | GroupStatus::Cancelled => CancelGroupOutcome::Before,
            status => CancelGroupOutcome::Over { status },
        }
    }

    pub(super) fn settle_group(&mut self, group: GroupId, seed: u128) -> Option<Settled> {
        let ends = self.waiting.remove(&group).unwrap_or_default();
        let now = self.now;
        let members = self.ends(group);
        let row = self.groups.get_mut(&group)?;
        let before = row.life.status;
        let mut life = row.life.moved(row.spec.policy, ends);
        let mut settled = Settled {
            before,
            after: life.status,
            task: None,
            ready: Vec::new(),
            missing: None,
        };
        if life.status.is_over() && !before.is_over() {
            if members.iter().any(|member| !member.status.is_terminal()) {
                life = life.still(before);
                settled.after = life.status;
            } else {
                row.finished_at = Some(now);
                let text = |json: &Option<JsonText>| json.as_ref().map_or(0, JsonText::len);
                let bytes: usize = members.iter().map(|end| text(&end.output) + text(&end.error)).sum();
                let end = GroupEnd {
                    spec: &row.spec,
                    status: life.status,
                    members: &members,
                    outputs_bytes: bytes as u64,
                };
                let made = end.follow_up(id_after_group(group, seed, now), &SpecLimits::default(), now);
                match made {
                    None => {}
                    Some(Ok(made)) => {
                        let (spec, life) = *made;
                        row.after = Some(AfterGroup::Task(spec.id));
                        settled.task = Some(TaskAfterGroup {
                            task: spec.id,
                            name: spec.name.clone(),
                            target: spec.target.clone(),
                            due_at: life.scheduled_at,
                            asks: false,
                        });
                        self.tasks.insert(spec.id, Row::new(spec, life, None, true, now));
                    }
                    Some(Err(unmade)) => {
                        settled.missing = Some(unmade.reason.clone());
                        let (name, reason) = (unmade.name, unmade.reason);
                        row.after = Some(AfterGroup::Missing { name, reason });
                    }
                }
            }
        }
        row.life = life;
        Some(settled)
    }

    fn ends(&self, group: GroupId) -> Vec<MemberEnd> {
        let mut ends: Vec<MemberEnd> = self
            .members(group)
            .map(|(id, index, row)| MemberEnd {
                task: id,
                index,
                status: row.task.life.status(),
                output: row.task.output.clone(),
                error: error(&row.task.life.state).map(|error| JsonText::of(error).expect("JSON")),
            })
            .collect();
        ends.sort_unstable_by_key(|end| end.index);
        ends
    }

    fn members(&self, group: GroupId) -> impl Iterator<Item = (TaskId, u16, &Row)> {
        self.tasks.iter().filter_map(move |(id, row)| {
            let place = row.task.spec.group.filter(|place| place.group == group)?;
            Some((*id, place.index, row))
        })
    }

    /// What is to come after it is to see it.
    pub(super) fn is_in_an_open_group(&self, row: &Row) -> bool {
        let group = row.task.spec.group.and_then(|place| self.groups.get(&place.group));
        group.is_some_and(|group| !group.life.status.is_over())
    }

    /// Whether a task that something followed would stay, and what followed it go.
    pub(crate) fn spares_a_parent(&self, before: Timestamp) -> bool {
        let mut spared = self
            .tasks
            .values()
            .filter(|row| is_old(row, before) && self.is_in_an_open_group(row));
        spared.any(|row| !row.task.spec.follow_ups.is_empty())
    }

    /// How many went.
    pub(super) fn purge_groups(&mut self, before: Timestamp) -> usize {
        let there = self.groups.len();
        self.groups
            .retain(|_, row| row.finished_at.is_none_or(|finished_at| finished_at >= before));
        there - self.groups.len()
    }

    /// Whether the loop for groups has something to do.
    pub(super) fn has_work_for_groups(&self) -> bool {
        !self.waiting.is_empty() || self.groups.values().any(|row| row.life.status.is_stopping())
    }

    pub(super) fn read_groups(&self) -> Groups {
        let group = |(id, row): (&GroupId, &GroupRow)| {
            let waiting = self.waiting.get(id).copied().unwrap_or_default();
            Group {
                spec: row.spec.clone(),
                life: GroupLife {
                    status: row.life.status,
                    remaining: row.life.remaining - waiting.ended,
                    failed: row.life.failed + waiting.failed,
                },
                reason: row.reason.clone(),
                finished_at: row.finished_at,
                after: row.after.clone(),
            }
        };
        let stopping = self.groups.iter().filter(|(_, row)| row.life.status.is_stopping());
        let stopping = stopping.flat_map(|(id, _)| self.members(*id));
        let to_cancel = stopping.filter(|(_, _, row)| match &row.task.life.state {
            TaskState::Pending { .. } => true,
            TaskState::InProgress { cancel_requested, .. } => cancel_requested.is_none(),
            _ => false,
        });
        Groups {
            items: self.groups.iter().rev().map(group).collect(),
            unsettled: self.waiting.keys().copied().collect(),
            to_cancel: sorted(to_cancel.map(|(id, ..)| id)),
        }
    }
}

fn error(state: &TaskState) -> Option<&TaskError> {
    match state {
        TaskState::Failed { error, .. } | TaskState::Expired { error, .. } | TaskState::Cancelled { error, .. } => {
            Some(error)
        }
        _ => None,
    }
}
