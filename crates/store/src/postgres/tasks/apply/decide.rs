//! What the events of a batch do to its locked tasks. Pure: the rules are those of [`transition`].

use orchestratum_core::Timestamp;
use orchestratum_core::task::{
    CheckedPatch, EndedAttempt, LifePatch, Refusal, TaskEvent, TaskState, TaskStatus, Transition, transition,
};
use orchestratum_core::TaskId;

use super::lock::{Locked, LockedTasks};
use crate::{Audit, Change, ChangeOutcome, Changed, Evidence};

/// What is to be written beside the tasks themselves.
#[derive(Debug, Default)]
pub(super) struct Effects<'a> {
    pub(super) ended: Vec<(TaskId, EndedAttempt, &'a Evidence)>,
    pub(super) audits: Vec<(TaskId, &'a Audit)>,
}

pub(super) struct Decision<'a> {
    pub(super) outcomes: Vec<ChangeOutcome>,
    pub(super) effects: Effects<'a>,
}

/// Decides change by change, in order: a task that appears twice is in its second state for the second one.
pub(super) fn decide<'a>(tasks: &mut LockedTasks, changes: &'a [Change], now: Timestamp) -> Decision<'a> {
    let mut effects = Effects::default();
    let outcomes = changes
        .iter()
        .map(|change| match tasks.get_mut(&change.task) {
            None => ChangeOutcome::NotFound,
            Some(locked) => decide_one(locked, change, now, &mut effects),
        })
        .collect();
    Decision { outcomes, effects }
}

fn decide_one<'a>(
    locked: &mut Locked,
    change: &'a Change,
    now: Timestamp,
    effects: &mut Effects<'a>,
) -> ChangeOutcome {
    if change
        .expected_version
        .is_some_and(|expected| expected != locked.life.version)
    {
        return ChangeOutcome::VersionMismatch {
            current: locked.life.version,
        };
    }
    let before = locked.life.status();
    let Transition { next, ended } = match transition(&locked.life, &locked.policy, &change.event, now) {
        Ok(transition) => transition,
        Err(refusal) => return refused(refusal, before),
    };
    locked.life = next;
    locked.changed = true;
    remember_attempt(locked, ended.as_ref());
    remember_policy(locked, &change.event);
    if let Some(patch) = &change.patch {
        remember_patch(locked, patch);
    }
    // Only a success leaves an output, and nothing follows a success, so no earlier one needs to be kept.
    locked.output = match locked.life.state {
        TaskState::Completed { .. } => change.evidence.output.clone(),
        TaskState::Pending { .. }
        | TaskState::InProgress { .. }
        | TaskState::Failed { .. }
        | TaskState::Expired { .. }
        | TaskState::Cancelled { .. } => None,
    };
    effects
        .ended
        .extend(ended.map(|ended| (change.task, ended, &change.evidence)));
    effects.audits.extend(change.audit.as_ref().map(|audit| (change.task, audit)));
    ChangeOutcome::Done(Changed {
        task: change.task,
        name: locked.name.clone(),
        target: locked.target.clone(),
        before,
        life: locked.life.clone(),
    })
}

fn refused(refusal: Refusal, status: TaskStatus) -> ChangeOutcome {
    ChangeOutcome::Refused { refusal, status }
}

/// The columns of the newest attempt outlive it.
fn remember_attempt(locked: &mut Locked, ended: Option<&EndedAttempt>) {
    if let Some(ended) = ended {
        locked.worker = ended.worker;
        locked.started_at = Some(ended.started_at);
    }
    if let TaskState::InProgress { worker, started_at, .. } = locked.life.state {
        locked.worker = Some(worker);
        locked.started_at = Some(started_at);
    }
}

/// What an event changes of the budgets and the time-to-live that later runs begin with.
fn remember_policy(locked: &mut Locked, event: &TaskEvent) {
    match event {
        TaskEvent::RetryRequested { ttl } => locked.ttl = Some(*ttl),
        TaskEvent::Patched(LifePatch {
            ttl,
            max_retries,
            scheduled_at: _,
            touches_what_runs: _,
        }) => {
            locked.ttl = ttl.or(locked.ttl);
            locked.policy.max_retries = max_retries.unwrap_or(locked.policy.max_retries);
        }
        TaskEvent::Claimed { .. }
        | TaskEvent::Reported(_)
        | TaskEvent::WorkerLost { .. }
        | TaskEvent::DeadlinePassed
        | TaskEvent::NameNotOffered
        | TaskEvent::CancelRequested { .. } => {}
    }
}

fn remember_patch(locked: &mut Locked, patch: &CheckedPatch) {
    let CheckedPatch {
        description,
        labels,
        priority,
        input,
        target,
        timeout,
        life: _,
    } = patch.clone();
    locked.priority = priority.unwrap_or(locked.priority);
    if let Some(target) = &target {
        locked.target = target.clone();
    }
    let merged = locked.patch.get_or_insert_default();
    merged.description = description.or(merged.description.take());
    merged.labels = labels.or(merged.labels.take());
    merged.priority = priority.or(merged.priority);
    merged.input = input.or(merged.input.take());
    merged.target = target.or(merged.target.take());
    merged.timeout = timeout.or(merged.timeout);
}
