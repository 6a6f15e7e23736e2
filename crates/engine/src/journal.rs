//! The log lines about tasks: one for what was created, one for each change.
//!
//! Texts of tasks stay out of them: they may be secret, and large. What is formatted here is formatted only if the level
//! is on, because both lie on the hot path.

use orchestratum_core::task::{ErrorKind, TaskEvent, TaskState, TaskStatus};
use orchestratum_core::{ScheduleId, Timestamp, WorkerId};
use orchestratum_store::{Changed, ClaimedTask, Fired, Saga, Stand, Task};

use crate::telemetry;

const CLAIMED: &str = "claimed";

/// Why a task changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason {
    event: &'static str,
    /// How the attempt ended, where a worker said so.
    outcome: Option<&'static str>,
}

impl Reason {
    pub(crate) fn of(event: &TaskEvent) -> Self {
        let (event, outcome) = match event {
            TaskEvent::Claimed { .. } => (CLAIMED, None),
            TaskEvent::Reported(report) => ("reported", Some(report.ending.outcome().as_str())),
            TaskEvent::WorkerLost { .. } => ("worker_lost", None),
            TaskEvent::DeadlinePassed => ("deadline_passed", None),
            TaskEvent::NameNotOffered { .. } => ("name_not_offered", None),
            TaskEvent::CancelRequested { .. } => ("cancel_requested", None),
            TaskEvent::RetryRequested { .. } => ("retry_requested", None),
            TaskEvent::Patched(_) => ("patched", None),
        };
        Self { event, outcome }
    }
}

pub(crate) fn created(tasks: &[Task]) {
    match tasks {
        [task] => tracing::info!(
            task.id = %task.spec.id, task.name = %task.spec.name, task.target = %task.spec.target, "task created"
        ),
        tasks => tracing::info!(tasks = tasks.len(), "tasks created"),
    }
}

pub(crate) fn changed(changed: &Changed, reason: Reason, now: Timestamp) {
    tracing::info!(
        task.id = %changed.task, task.name = %changed.name, task.target = %changed.target, from = %changed.before,
        to = %changed.life.status(), reason = reason.event, outcome = reason.outcome,
        error.kind = error_kind(&changed.life.state).map(ErrorKind::as_str),
        attempt = changed.life.attempt, run = changed.life.run, duration_ms = attempt_milliseconds(changed, now),
        "task changed"
    );
}

/// One line for each follow-up: it is created with the end of its parent, or missing from then on.
pub(crate) fn followed(parent: &Changed) {
    for follow_up in &parent.followed.tasks {
        tracing::info!(
            task.id = %follow_up.task, task.name = %follow_up.name, task.target = %follow_up.target,
            parent.id = %parent.task, parent.run = follow_up.place.run, edge = %follow_up.place.edge,
            index = follow_up.place.index, "task created"
        );
    }
    for missing in &parent.followed.missing {
        tracing::warn!(
            parent.id = %parent.task, parent.run = missing.place.run, edge = %missing.place.edge,
            index = missing.place.index, task.name = %missing.name, reason = %missing.reason,
            "a follow-up could not be made"
        );
    }
}

/// One line for each slot: it became a task, or will never be one.
pub(crate) fn fired(fired: &Fired) {
    for task in &fired.tasks {
        tracing::info!(
            task.id = %task.task, task.name = %task.name, task.target = %task.target, schedule.id = %task.schedule,
            slot = %task.slot, "task created"
        );
    }
    for (schedule, skip) in &fired.skipped {
        tracing::warn!(
            schedule.id = %schedule, slot = %skip.slot, reason = %skip.reason, detail = skip.detail, "a slot was skipped"
        );
    }
}

/// What a caller did with a schedule.
pub(crate) fn schedule(schedule: ScheduleId, action: &'static str) {
    tracing::info!(schedule.id = %schedule, action, "schedule changed");
}

/// A saga after a look that changed it. Its texts stay out of it: they may be secret, and large.
pub(crate) fn saga_changed(saga: &Saga, before: Option<&Stand>) {
    let instance = &saga.instance;
    match before {
        None => tracing::info!(
            saga.id = %saga.id, saga.definition = %saga.definition, saga.definition_version = saga.definition_version,
            saga.state = %instance.state, to = %instance.status(), version = instance.version, "saga started"
        ),
        Some(before) => tracing::info!(
            saga.id = %saga.id, saga.definition = %saga.definition, from_state = %before.state, saga.state = %instance.state,
            from = %before.status, to = %instance.status(), version = instance.version, "saga changed"
        ),
    }
    if instance.status().needs_a_person() && before.is_none_or(|before| before.status != instance.status()) {
        tracing::warn!(
            saga.id = %saga.id, saga.definition = %saga.definition, saga.state = %instance.state, status = %instance.status(),
            "a saga stands still until somebody decides: GET /api/sagas/{{id}} says what"
        );
    }
}

pub(crate) fn claimed(task: &ClaimedTask, worker: WorkerId) {
    tracing::info!(
        task.id = %task.id, task.name = %task.name, task.target = %task.target, from = %TaskStatus::Pending,
        to = %TaskStatus::InProgress, reason = CLAIMED, worker.id = %worker, attempt = task.attempt, run = task.run,
        "task changed"
    );
}

fn error_kind(state: &TaskState) -> Option<ErrorKind> {
    match state {
        TaskState::Pending { .. } | TaskState::InProgress { .. } | TaskState::Completed { .. } => None,
        TaskState::Failed { error, .. } | TaskState::Expired { error, .. } | TaskState::Cancelled { error, .. } => {
            Some(error.kind)
        }
    }
}

/// How long the attempt took that ended with this change.
fn attempt_milliseconds(changed: &Changed, now: Timestamp) -> Option<f64> {
    let ended_at = match changed.life.state {
        TaskState::InProgress { .. } => return None,
        TaskState::Pending { .. } => now,
        TaskState::Completed { finished_at }
        | TaskState::Failed { finished_at, .. }
        | TaskState::Expired { finished_at, .. }
        | TaskState::Cancelled { finished_at, .. } => finished_at,
    };
    let started_at = changed
        .started_at
        .filter(|_| changed.before == TaskStatus::InProgress)?;
    Some(telemetry::milliseconds(ended_at.saturating_since(started_at)))
}
