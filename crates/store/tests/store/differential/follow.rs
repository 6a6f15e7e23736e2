//! What a change of its life does to the rest of a task, and the attempt that ends with it.

use orchestratum_core::Timestamp;
use orchestratum_core::task::{
    CheckedPatch, Due, EndedAttempt, Ending, ParentEnd, SpecLimits, TaskEvent, TaskLife, TaskSpec, TaskState,
};
use orchestratum_store::{Attempt, Change, FollowUpTask, Followed, MissingCause, MissingFollowUp, Task, follow_up_id};

/// What an event does to a task beside its life.
pub(super) fn follow(task: &mut Task, change: &Change, ended: Option<&EndedAttempt>) {
    match &change.event {
        TaskEvent::Reported(report) => {
            if report.ending == Ending::Success {
                task.output.clone_from(&change.evidence.output);
            }
            task.progress = change.evidence.progress.or(task.progress);
        }
        TaskEvent::Claimed { .. } | TaskEvent::NameNotOffered { .. } => task.progress = None,
        TaskEvent::RetryRequested { ttl } => {
            (task.output, task.progress) = (None, None);
            task.spec.ttl = *ttl;
        }
        TaskEvent::Patched(life) => {
            task.spec.ttl = life.ttl.unwrap_or(task.spec.ttl);
            task.spec.policy.max_retries = life.max_retries.unwrap_or(task.spec.policy.max_retries);
        }
        _ => {}
    }
    if let Some(patch) = &change.patch {
        edit(&mut task.spec, patch.clone());
    }
    if let TaskState::InProgress { worker, started_at, .. } = task.life.state {
        (task.worker, task.started_at) = (Some(worker), Some(started_at));
    }
    if let Some(ended) = ended {
        (task.worker, task.started_at) = (ended.worker, Some(ended.started_at));
    }
}

fn edit(spec: &mut TaskSpec, patch: CheckedPatch) {
    spec.description = patch.description.unwrap_or(spec.description.take());
    spec.labels = patch.labels.unwrap_or(std::mem::take(&mut spec.labels));
    spec.priority = patch.priority.unwrap_or(spec.priority);
    spec.input = patch.input.unwrap_or(spec.input.clone());
    spec.target = patch.target.unwrap_or(spec.target.clone());
    spec.timeout = patch.timeout.unwrap_or(spec.timeout);
    spec.limits = patch.limits.unwrap_or(spec.limits.take());
}

pub(super) fn attempt(ended: EndedAttempt, change: &Change) -> Attempt {
    Attempt {
        attempt: ended.attempt,
        run: ended.run,
        worker: ended.worker,
        outcome: ended.outcome,
        error: ended.error,
        started_at: ended.started_at,
        ended_at: ended.ended_at,
        exit_code: change.evidence.exit_code,
        peak_memory_bytes: change.evidence.peak_memory_bytes,
    }
}

/// What comes after a task that a change has ended, and the tasks that are made of it.
pub(super) fn followed(task: &Task, change: &Change, now: Timestamp) -> (Followed, Vec<(TaskSpec, TaskLife)>) {
    let (mut followed, mut made) = (Followed::default(), Vec::new());
    if !task.life.status().is_terminal() {
        return (followed, made);
    }
    let spec = &task.spec;
    let end = ParentEnd {
        id: spec.id,
        name: &spec.name,
        target: &spec.target,
        priority: spec.priority,
        parent_id: spec.parent_id,
        created_at: spec.created_at,
        started_at: task.started_at,
        description: spec.description.as_deref(),
        labels: &spec.labels,
        input: &spec.input,
        output: task.output.as_ref(),
        life: &task.life,
    };
    let id = |place| follow_up_id(change.seed, spec.id, place, now);
    let reported = &change.evidence.follow_ups;
    for Due { place, made: result } in spec.follow_ups.due(reported, &end, &SpecLimits::default(), now, id).0 {
        match result {
            Ok(task) => {
                let (spec, life) = *task;
                followed.tasks.push(FollowUpTask {
                    task: spec.id,
                    name: spec.name.clone(),
                    target: spec.target.clone(),
                    place,
                    due_at: life.scheduled_at,
                    asks: spec.conditions.as_ref().is_some_and(|conditions| conditions.gates()),
                    claimed: None,
                });
                made.push((spec, life));
            }
            Err(unmade) => followed.missing.push(MissingFollowUp {
                parent: spec.id,
                place,
                name: unmade.name,
                cause: MissingCause::Unmade,
                reason: unmade.reason,
                since: now,
            }),
        }
    }
    (followed, made)
}
