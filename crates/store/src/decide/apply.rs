//! Events put to tasks: what each change answers, and what is to be written.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use orchestratum_core::task::{
    AttemptOutcome, CheckedPatch, Conditions, EndedAttempt, Ending, GroupEnds, Labels, Progress, Refusal, RetryPolicy,
    SagaPlace, SpecLimits, TaskEvent, TaskLife, TaskState, TaskStatus, transition,
};
use orchestratum_core::{GroupId, JsonText, Target, TaskId, TaskName, Timestamp, WorkerId};

use super::LifeColumns;
use super::follow::{Source, follow};
use super::gates::{DispatchState, GateChanges, Standing};
use super::life::error_text;
use super::saga_tasks::SagaTaskEnd;
use crate::{
    Audit, Change, ChangeOutcome, Changed, Evidence, Followed, LogChunk, MissingFollowUp, NewTask, PUBLISH_LEASE, Ready,
};

/// What the follow-ups of one transaction may cost together, in steps of expressions and bytes: about half a second. Changes
/// that come after are decided in another one, so that no lock is held for as long as others can make it take.
const FOLLOW_UPS_COST_MAX: u64 = 4_000_000;

/// What a change needs to know of a task. Its input and output stay where they are, unless something follows it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: TaskId,
    pub(crate) name: TaskName,
    pub(crate) target: Target,
    pub(crate) priority: u8,
    pub(crate) ttl: Duration,
    pub(crate) policy: RetryPolicy,
    pub(crate) life: TaskLife,
    /// Of the newest attempt.
    pub(crate) worker: Option<WorkerId>,
    /// Of the newest attempt.
    pub(crate) started_at: Option<Timestamp>,
    /// Where it has follow-ups, or its report brings some.
    pub(crate) source: Option<Box<Source>>,
    pub(crate) conditions: Option<Box<Conditions>>,
    /// Of its dispatch row, if it has conditions.
    pub(crate) waits: Option<DispatchState>,
    /// Of which it is a member.
    pub(crate) group: Option<GroupId>,
    pub(crate) saga: Option<SagaPlace>,
}

/// The dispatch row of a pending task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DispatchRow {
    pub(crate) task: TaskId,
    pub(crate) target: Target,
    pub(crate) name: TaskName,
    pub(crate) priority: u8,
    pub(crate) due_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) publish_at: Timestamp,
    pub(crate) state: DispatchState,
}

impl DispatchRow {
    /// When the next message for the task may be sent: whoever announces it right after the commit has a lease on that.
    pub(crate) fn publish_at(due_at: Timestamp, announced_by_caller: bool, now: Timestamp) -> Timestamp {
        if due_at > now {
            due_at
        } else if announced_by_caller {
            now + PUBLISH_LEASE
        } else {
            now
        }
    }
}

/// A task after the changes, with what its row must become.
#[derive(Debug)]
#[expect(clippy::option_option, reason = "whether it changes, and to what")]
pub(crate) struct TaskWrite {
    pub(crate) after: Stored,
    /// It had a dispatch row before.
    pub(crate) was_pending: bool,
    /// Its worker gave it back unfinished.
    pub(crate) handed_back: bool,
    /// `Some(None)` clears it.
    pub(crate) output: Option<Option<JsonText>>,
    /// `Some(None)` clears it.
    pub(crate) progress: Option<Option<Progress>>,
    pub(crate) edits: Option<Edits>,
}

/// Columns that only a caller changes. `target`, `priority`, `ttl` and `max_retries` are in [`Stored`].
#[derive(Debug, Default)]
#[expect(clippy::option_option, reason = "whether it changes, and to what")]
pub(crate) struct Edits {
    pub(crate) description: Option<Option<String>>,
    pub(crate) labels: Option<Labels>,
    pub(crate) input: Option<JsonText>,
    pub(crate) timeout: Option<Option<Duration>>,
    pub(crate) limits: Option<Option<JsonText>>,
}

impl TaskWrite {
    pub(crate) fn columns(&self) -> LifeColumns {
        LifeColumns::encode(&self.after.life, self.after.worker, self.after.started_at)
    }

    /// The dispatch row it must have, if it is pending. Whoever changed the task announces it.
    pub(crate) fn dispatch(&self, now: Timestamp) -> Option<DispatchRow> {
        let after = &self.after;
        let TaskState::Pending { due_at } = after.life.state else {
            return None;
        };
        Some(DispatchRow {
            task: after.id,
            target: after.target.clone(),
            name: after.name.clone(),
            priority: after.priority,
            due_at,
            expires_at: after.life.expires_at,
            publish_at: DispatchRow::publish_at(due_at, true, now),
            state: match Standing::of(self, now) {
                Standing::Keeps if due_at <= now => DispatchState::Ready,
                Standing::Keeps | Standing::Asks | Standing::Leaves => {
                    DispatchState::of(after.conditions.as_deref(), due_at, now)
                }
            },
        })
    }
}

/// A row for `attempts`.
#[derive(Debug)]
pub(crate) struct AttemptWrite {
    pub(crate) task: TaskId,
    pub(crate) ended: EndedAttempt,
    pub(crate) exit_code: Option<i32>,
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl AttemptWrite {
    pub(crate) fn error_text(&self) -> Option<String> {
        self.ended.error.as_ref().map(error_text)
    }
}

/// A row for `task_logs`.
#[derive(Debug)]
pub(crate) struct LogWrite<'a> {
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    pub(crate) chunk: &'a LogChunk,
}

/// The answers, and everything to be written before they may be given.
#[derive(Debug)]
pub(crate) struct Decision<'a> {
    /// Of the changes from the first on, and of one at least: what is left is to be decided after these are written.
    pub(crate) outcomes: Vec<ChangeOutcome>,
    pub(crate) tasks: Vec<TaskWrite>,
    pub(crate) attempts: Vec<AttemptWrite>,
    pub(crate) logs: Vec<LogWrite<'a>>,
    pub(crate) audits: Vec<(TaskId, &'a Audit)>,
    /// By id.
    pub(crate) follow_ups: Vec<NewTask>,
    pub(crate) missing: Vec<MissingFollowUp>,
    /// What it means for the keys of tasks; without the follow-ups, until they are [admitted](Decision::admit_follow_ups).
    pub(crate) gates: GateChanges,
    /// What it means for the groups of the tasks.
    pub(crate) group_ends: BTreeMap<GroupId, GroupEnds>,
    /// The ends of tasks of sagas.
    pub(crate) saga_ends: Vec<SagaTaskEnd>,
    /// Which of the follow-ups their worker may go on with at once.
    pub(crate) taken: HashMap<TaskId, WorkerId>,
}

/// The attempts to look up before [`apply`]: reports that will be refused, unless they were recorded already.
pub(crate) fn doubtful_reports(changes: &[Change], tasks: &HashMap<TaskId, Stored>) -> Vec<(TaskId, u32)> {
    changes
        .iter()
        .filter_map(|change| {
            let TaskEvent::Reported(report) = &change.event else {
                return None;
            };
            let task = tasks.get(&change.task)?;
            let open = matches!(task.life.state, TaskState::InProgress { .. }) && task.life.attempt == report.attempt;
            (!open).then_some((change.task, report.attempt))
        })
        .collect()
}

/// Whether they are about running tasks alone, as reports and rescues are. Those have no dispatch row, so none is locked: who waits
/// for a key is left to others, also where such a change meets it and is refused.
pub(crate) fn are_of_running_tasks(changes: &[Change]) -> bool {
    let is_of_a_running_one =
        |change: &Change| matches!(change.event, TaskEvent::Reported(_) | TaskEvent::WorkerLost { .. });
    changes.iter().all(is_of_a_running_one)
}

/// Puts each change to its task, in order, each to what the one before left.
///
/// `recorded` holds the outcomes of the [`doubtful_reports`] that have an attempt row.
pub(crate) fn apply<'a>(
    changes: &'a [Change],
    tasks: HashMap<TaskId, Stored>,
    recorded: HashMap<(TaskId, u32), AttemptOutcome>,
    limits: &SpecLimits,
    now: Timestamp,
) -> Decision<'a> {
    let mut batch = Batch {
        tasks,
        recorded,
        touched: HashMap::new(),
        order: Vec::new(),
        decision: Decision {
            outcomes: Vec::with_capacity(changes.len()),
            tasks: Vec::new(),
            attempts: Vec::new(),
            logs: Vec::new(),
            audits: Vec::new(),
            follow_ups: Vec::new(),
            missing: Vec::new(),
            gates: GateChanges::default(),
            group_ends: BTreeMap::new(),
            saga_ends: Vec::new(),
            taken: HashMap::new(),
        },
        follow_ups_cost: 0,
    };
    for change in changes {
        let outcome = batch.put(change, limits, now);
        batch.decision.outcomes.push(outcome);
        if batch.follow_ups_cost > FOLLOW_UPS_COST_MAX {
            break;
        }
    }
    batch.finish(!are_of_running_tasks(changes), now)
}

/// What is written of a task beside its row in [`Batch::tasks`].
#[expect(clippy::option_option, reason = "whether it changes, and to what")]
struct Touched {
    was_pending: bool,
    handed_back: bool,
    output: Option<Option<JsonText>>,
    progress: Option<Option<Progress>>,
    edits: Option<Edits>,
}

struct Batch<'a> {
    tasks: HashMap<TaskId, Stored>,
    recorded: HashMap<(TaskId, u32), AttemptOutcome>,
    touched: HashMap<TaskId, Touched>,
    /// The changed tasks in the order of their first change, so that equal input writes equal rows.
    order: Vec<TaskId>,
    decision: Decision<'a>,
    follow_ups_cost: u64,
}

impl<'a> Batch<'a> {
    fn put(&mut self, change: &'a Change, limits: &SpecLimits, now: Timestamp) -> ChangeOutcome {
        let Some(task) = self.tasks.get_mut(&change.task) else {
            return ChangeOutcome::NotFound;
        };
        let current = task.life.version;
        if change.expected_version.is_some_and(|expected| expected != current) {
            return ChangeOutcome::VersionMismatch { current };
        }
        if let Some(refused) = gone_on_without(task, change) {
            return refused;
        }
        let transition = match transition(&task.life, &task.policy, &change.event, now) {
            Ok(transition) => transition,
            Err(refusal) => return refused(task, change, refusal, &self.recorded),
        };
        let before = std::mem::replace(&mut task.life, transition.next);
        let touched = self.touched.entry(change.task).or_insert_with(|| {
            self.order.push(change.task);
            Touched {
                was_pending: matches!(before.state, TaskState::Pending { .. }),
                handed_back: false,
                output: None,
                progress: None,
                edits: None,
            }
        });
        edit(task, touched, change);
        touched.handed_back = transition
            .ended
            .as_ref()
            .is_some_and(|ended| ended.outcome == AttemptOutcome::Released);
        if let TaskState::InProgress { worker, started_at, .. } = task.life.state {
            task.worker = Some(worker);
            task.started_at = Some(started_at);
        }
        if let Some(ended) = transition.ended {
            task.worker = ended.worker;
            task.started_at = Some(ended.started_at);
            self.recorded.insert((change.task, ended.attempt), ended.outcome);
            record(&mut self.decision, change, ended);
        }
        if let Some(audit) = &change.audit {
            self.decision.audits.push((change.task, audit));
        }
        let followed = self.followed(change, limits, now);
        let task = &self.tasks[&change.task];
        tell_group(&mut self.decision, task, before.status());
        let end = SagaTaskEnd::of(task, change.evidence.output.as_ref());
        self.decision.saga_ends.extend(end);
        ChangeOutcome::Done(Changed {
            task: change.task,
            name: task.name.clone(),
            target: task.target.clone(),
            before: before.status(),
            life: task.life.clone(),
            started_at: task.started_at,
            followed,
            admitted: Vec::new(),
            group: task.group,
            saga: task.saga.map(|place| place.saga),
        })
    }

    /// What comes after the task of a change, if that has ended it.
    fn followed(&mut self, change: &Change, limits: &SpecLimits, now: Timestamp) -> Followed {
        let task = &self.tasks[&change.task];
        if !task.life.status().is_terminal() {
            return Followed::default();
        }
        let follow_ups = follow(task, change, limits, now);
        self.follow_ups_cost += follow_ups.cost;
        self.decision.follow_ups.extend(follow_ups.tasks);
        self.decision.missing.extend_from_slice(&follow_ups.followed.missing);
        let taken = follow_ups.taken.zip(change.takes.as_ref());
        self.decision
            .taken
            .extend(taken.map(|(task, takes)| (task, takes.worker)));
        follow_ups.followed
    }

    fn finish(mut self, locks_dispatches: bool, now: Timestamp) -> Decision<'a> {
        for id in &self.order {
            if let (Some(after), Some(touched)) = (self.tasks.remove(id), self.touched.remove(id)) {
                self.decision.tasks.push(TaskWrite {
                    after,
                    was_pending: touched.was_pending,
                    handed_back: touched.handed_back,
                    output: touched.output,
                    progress: touched.progress,
                    edits: touched.edits,
                });
            }
        }
        self.decision.follow_ups.sort_unstable_by_key(|task| task.spec.id);
        let mut gates = GateChanges::default();
        if locks_dispatches {
            self.tasks.values().for_each(|task| gates.untouched(task));
        }
        self.decision.tasks.iter().for_each(|task| gates.changed(task, now));
        self.decision.gates = gates;
        self.decision.group_ends.retain(|_, ends| !ends.is_nothing());
        self.decision
    }
}

impl Decision<'_> {
    /// When the next message may be sent for what becomes ready with it: whoever gets an answer announces that.
    pub(crate) fn admitted_publish_at(&self, now: Timestamp) -> Timestamp {
        let is_told = self
            .outcomes
            .iter()
            .any(|outcome| matches!(outcome, ChangeOutcome::Done(_)));
        DispatchRow::publish_at(now, is_told, now)
    }

    /// The answers, the first of them with the tasks of others that became ready.
    pub(crate) fn answers(mut self, admitted: Vec<Ready>) -> Vec<ChangeOutcome> {
        let first = self.outcomes.iter_mut().find_map(|outcome| match outcome {
            ChangeOutcome::Done(changed) => Some(changed),
            _ => None,
        });
        if let Some(first) = first {
            first.admitted = admitted;
        }
        self.outcomes
    }
}

/// A report that was recorded before is no other one.
fn refused(
    task: &Stored,
    change: &Change,
    refusal: Refusal,
    recorded: &HashMap<(TaskId, u32), AttemptOutcome>,
) -> ChangeOutcome {
    let status = task.life.status();
    match &change.event {
        TaskEvent::Reported(report)
            if recorded.get(&(change.task, report.attempt)) == Some(&report.ending.outcome()) =>
        {
            let place = task.saga.filter(|_| status.is_terminal());
            ChangeOutcome::AlreadyReported {
                saga: place.map(|place| place.saga),
            }
        }
        _ => ChangeOutcome::Refused { refusal, status },
    }
}

/// A saga that was told of the end of its task does not wait for another one.
fn gone_on_without(task: &Stored, change: &Change) -> Option<ChangeOutcome> {
    let (Some(_), TaskEvent::RetryRequested { .. }) = (task.saga, &change.event) else {
        return None;
    };
    let status = task.life.status();
    let refusal = Refusal::Illegal {
        status,
        wanted: "retried: it belongs to a saga, which has gone on without it",
    };
    Some(ChangeOutcome::Refused { refusal, status })
}

/// Carries the part of the event that is not the life of the task into its columns.
fn edit(task: &mut Stored, touched: &mut Touched, change: &Change) {
    match &change.event {
        TaskEvent::Reported(report) => {
            if report.ending == Ending::Success {
                touched.output = Some(change.evidence.output.clone());
            }
            if change.evidence.progress.is_some() {
                touched.progress = Some(change.evidence.progress);
            }
        }
        // Another attempt, which has told nothing yet.
        TaskEvent::Claimed { .. } | TaskEvent::NameNotOffered { .. } => touched.progress = Some(None),
        TaskEvent::WorkerLost { .. } | TaskEvent::DeadlinePassed | TaskEvent::CancelRequested { .. } => {}
        TaskEvent::RetryRequested { ttl } => {
            touched.output = Some(None);
            touched.progress = Some(None);
            task.ttl = *ttl;
            edit_columns(task, touched, change.patch.as_ref());
        }
        TaskEvent::Patched(life) => {
            task.ttl = life.ttl.unwrap_or(task.ttl);
            task.policy.max_retries = life.max_retries.unwrap_or(task.policy.max_retries);
            edit_columns(task, touched, change.patch.as_ref());
        }
    }
}

fn edit_columns(task: &mut Stored, touched: &mut Touched, patch: Option<&CheckedPatch>) {
    let edits = touched.edits.get_or_insert_default();
    let Some(CheckedPatch {
        description,
        labels,
        priority,
        input,
        target,
        timeout,
        limits,
        life: _,
    }) = patch
    else {
        return;
    };
    task.priority = priority.unwrap_or(task.priority);
    if let Some(target) = target {
        task.target = target.clone();
    }
    if let Some(source) = &mut task.source {
        source.edit(description.as_ref(), labels.as_ref(), input.as_ref());
    }
    if description.is_some() {
        edits.description.clone_from(description);
    }
    if labels.is_some() {
        edits.labels.clone_from(labels);
    }
    if input.is_some() {
        edits.input.clone_from(input);
    }
    if timeout.is_some() {
        edits.timeout = *timeout;
    }
    if limits.is_some() {
        edits.limits.clone_from(limits);
    }
}

fn tell_group(decision: &mut Decision<'_>, task: &Stored, before: TaskStatus) {
    if let Some(group) = task.group {
        let ends = GroupEnds::of(before, task.life.status());
        decision.group_ends.entry(group).or_default().add(ends);
    }
}

fn record<'a>(decision: &mut Decision<'a>, change: &'a Change, ended: EndedAttempt) {
    let Evidence {
        output: _,
        exit_code,
        peak_memory_bytes,
        progress: _,
        logs,
        follow_ups: _,
    } = &change.evidence;
    decision.logs.extend(logs.iter().map(|chunk| LogWrite {
        task: change.task,
        attempt: ended.attempt,
        chunk,
    }));
    decision.attempts.push(AttemptWrite {
        task: change.task,
        ended,
        exit_code: *exit_code,
        peak_memory_bytes: *peak_memory_bytes,
    });
}
