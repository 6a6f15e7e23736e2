//! What follows a task whose run has ended, as rows to be written with that end.

use std::sync::Arc;

use orchestratum_core::task::{
    Due, Ending, FollowUpPlace, FollowUps, Labels, ParentEnd, SpecLimits, TaskEvent, TaskLife, TaskSpec, TaskState,
    transition,
};
use orchestratum_core::{JsonText, Origin, TaskId, Timestamp, WorkerId};
use uuid::Uuid;

use super::Stored;
use crate::{
    Announce, Change, ClaimedTask, FollowUpTask, Followed, FollowedBy, KnownTask, MissingCause, MissingFollowUp,
    NewTask, Takes,
};

/// What follow-ups need to know of their parent beside what every change does.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) follow_ups: FollowUps,
    pub(crate) description: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) input: JsonText,
    pub(crate) parent_id: Option<TaskId>,
    pub(crate) created_at: Timestamp,
    pub(crate) origin: Origin,
}

impl Source {
    /// As a change before in the same batch left it.
    pub(super) fn edit(
        &mut self,
        description: Option<&Option<String>>,
        labels: Option<&Labels>,
        input: Option<&JsonText>,
    ) {
        if let Some(description) = description {
            self.description.clone_from(description);
        }
        if let Some(labels) = labels {
            self.labels.clone_from(labels);
        }
        if let Some(input) = input {
            self.input = input.clone();
        }
    }
}

/// The tasks of which the source is needed even where they list no follow-ups: their reports bring some.
pub(crate) fn bringing_follow_ups(changes: &[Change]) -> Vec<TaskId> {
    let bringing = changes.iter().filter(|change| !change.evidence.follow_ups.is_empty());
    bringing.map(|change| change.task).collect()
}

/// What is written after a task.
#[derive(Debug, Default)]
pub(super) struct FollowUpRows {
    pub(super) tasks: Vec<NewTask>,
    pub(super) followed: Followed,
    /// In steps of expressions and bytes.
    pub(super) cost: u64,
    /// Which of the tasks the worker of the report may go on with.
    pub(super) taken: Option<TaskId>,
}

/// The follow-ups of a task that this change has ended.
pub(super) fn follow(task: &Stored, change: &Change, limits: &SpecLimits, now: Timestamp) -> FollowUpRows {
    let Some(source) = &task.source else {
        return FollowUpRows::default();
    };
    let output = match &change.event {
        TaskEvent::Reported(report) if report.ending == Ending::Success => change.evidence.output.as_ref(),
        _ => None,
    };
    let end = ParentEnd {
        id: task.id,
        name: &task.name,
        target: &task.target,
        priority: task.priority,
        parent_id: source.parent_id,
        created_at: source.created_at,
        started_at: task.started_at,
        description: source.description.as_deref(),
        labels: &source.labels,
        input: &source.input,
        output,
        life: &task.life,
    };
    let id = |place| follow_up_id(change.seed, task.id, place, now);
    let (due, cost) = source
        .follow_ups
        .due(&change.evidence.follow_ups, &end, limits, now, id);
    let mut rows = FollowUpRows {
        cost,
        ..FollowUpRows::default()
    };
    for Due { place, made } in due {
        match made {
            Ok(made) => {
                let (spec, life) = *made;
                if rows.taken.is_none()
                    && let Some(takes) = &change.takes
                    && may_take(takes, task.priority, &spec, &life, now)
                {
                    rows.taken = Some(spec.id);
                }
                rows.followed.tasks.push(FollowUpTask {
                    task: spec.id,
                    name: spec.name.clone(),
                    target: spec.target.clone(),
                    place,
                    asks: spec.conditions.as_ref().is_some_and(|conditions| conditions.gates()),
                    due_at: match life.state {
                        TaskState::Pending { due_at } => due_at,
                        _ => life.scheduled_at,
                    },
                    claimed: None,
                });
                rows.tasks.push(NewTask {
                    spec,
                    life,
                    // Whoever changed the parent, right after the commit.
                    announce: Announce::ByCaller,
                    request_hash: None,
                    origin: source.origin.clone(),
                });
            }
            Err(unmade) => rows.followed.missing.push(MissingFollowUp {
                parent: task.id,
                place,
                name: unmade.name,
                cause: MissingCause::Unmade,
                reason: unmade.reason,
                since: now,
            }),
        }
    }
    rows
}

/// Whether a worker may go on with what follows a task of this priority that it ran. That was its turn; what is less urgent waits with
/// the others.
pub(crate) fn may_take(takes: &Takes, least_priority: u8, spec: &TaskSpec, life: &TaskLife, now: Timestamp) -> bool {
    let is_due = matches!(life.state, TaskState::Pending { due_at } if due_at <= now);
    is_due
        && spec.priority >= least_priority
        && takes.targets.contains(&spec.target)
        && takes.names.binary_search(&spec.name).is_ok()
}

/// A new task as the worker gets it that runs it from the beginning.
pub(crate) fn claimed_at_once(task: &NewTask, now: Timestamp) -> ClaimedTask {
    let NewTask { spec, life, origin, .. } = task;
    ClaimedTask {
        id: spec.id,
        attempt: life.attempt + 1,
        run: life.run,
        name: spec.name.clone(),
        target: spec.target.clone(),
        input: spec.input.clone(),
        limits: spec.limits.clone(),
        timeout: spec.timeout,
        expires_at: life.expires_at,
        started_at: now,
        origin: origin.clone(),
        followed_by: FollowedBy::of(!spec.follow_ups.is_empty(), spec.saga.map(|_| spec.priority)),
        known: None,
    }
}

/// What its row holds from then on. Its worker brings that back with its end, if anything follows that.
pub(crate) fn known_at_once(task: &NewTask, worker: WorkerId, now: Timestamp) -> Option<KnownTask> {
    let NewTask { spec, life, origin, .. } = task;
    if spec.follow_ups.is_empty() {
        return None;
    }
    let begun = transition(life, &spec.policy, &TaskEvent::Claimed { worker }, now).ok()?;
    Some(KnownTask(Arc::new(Stored {
        id: spec.id,
        name: spec.name.clone(),
        target: spec.target.clone(),
        priority: spec.priority,
        ttl: spec.ttl,
        policy: spec.policy,
        life: begun.next,
        worker: Some(worker),
        started_at: Some(now),
        source: Some(Box::new(Source {
            follow_ups: spec.follow_ups.clone(),
            description: spec.description.clone(),
            labels: spec.labels.clone(),
            input: spec.input.clone(),
            parent_id: spec.parent_id,
            created_at: spec.created_at,
            origin: origin.clone(),
        })),
        conditions: None,
        waits: None,
        group: spec.group.map(|place| place.group),
        saga: None,
    })))
}

/// The id of a follow-up: a UUIDv7 of this moment.
///
/// No two follow-ups of a change have the same, and nobody knows one before who does not know the seed: were it taken already,
/// the change could not be written. Those of a list are in its order: so they are written, and so they are taken where nothing else
/// tells them apart.
pub fn follow_up_id(seed: u128, parent: TaskId, place: FollowUpPlace, now: Timestamp) -> TaskId {
    /// Odd, so that different places stay different; the golden ratio, so that they differ in many bits.
    const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
    let order = place.index;
    let place =
        (u128::from(place.run) << 32) | (u128::from(place.edge.code().unsigned_abs()) << 16) | u128::from(place.index);
    task_id_at(
        order,
        (seed ^ parent.0.as_u128()).wrapping_add((place + 1).wrapping_mul(SPREAD)),
        now,
    )
}

/// A UUIDv7 of this moment: of those of a millisecond the one with the smaller `order`, up to 4,095, is the smaller.
pub(super) fn task_id_at(order: u16, random: u128, now: Timestamp) -> TaskId {
    let milliseconds = u128::from(u64::try_from(now.as_micros() / 1_000).unwrap_or(0)) << 80;
    let version = 0x7_u128 << 76;
    let variant = 0b10_u128 << 62;
    let high = u128::from(order & 0xFFF) << 64;
    let low = random & ((1 << 62) - 1);
    TaskId(Uuid::from_u128(milliseconds | version | high | variant | low))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use orchestratum_core::task::Edge;

    use super::*;

    fn places() -> impl Iterator<Item = FollowUpPlace> {
        let edges = (1..4).flat_map(|run| Edge::ALL.into_iter().map(move |edge| (run, edge)));
        edges.flat_map(|(run, edge)| (0..1_000).map(move |index| FollowUpPlace { run, edge, index }))
    }

    #[test]
    fn the_ids_of_follow_ups_are_of_version_7_and_all_differ() {
        let now = Timestamp::from_micros(1_767_225_600_123_456);
        let mut seen = HashSet::new();
        for (seed, parent) in [(0, 1), (0, 2), (7, 1), (u128::MAX, u128::MAX >> 3)] {
            for place in places() {
                let id = follow_up_id(seed, TaskId(Uuid::from_u128(parent)), place, now);
                assert_eq!(id.0.get_version_num(), 7);
                assert_eq!(id.0.get_variant(), uuid::Variant::RFC4122);
                assert_eq!(id.0.as_u128() >> 80, 1_767_225_600_123);
                assert!(seen.insert(id), "{id} twice");
            }
        }
    }

    #[test]
    fn the_ids_of_a_list_are_in_its_order() {
        let now = Timestamp::from_micros(1_767_225_600_123_456);
        for seed in [0, 7, u128::MAX / 3] {
            let list = places().take(1_000);
            let ids: Vec<TaskId> = list
                .map(|place| follow_up_id(seed, TaskId(Uuid::max()), place, now))
                .collect();
            assert!(ids.is_sorted());
        }
    }
}
