//! What a store is, in memory: maps, and the transition function of the core.

mod groups;
mod overview;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use orchestratum_core::task::{
    AttemptOutcome, FollowUpPlace, GroupEnds, TaskEvent, TaskLife, TaskSpec, TaskState, TaskStatus, transition,
};
use orchestratum_core::{GroupId, Target, TaskId, TaskName, Timestamp, WorkerId};
use orchestratum_store::{
    Admission, Announce, Attempt, Change, ChangeOutcome, Changed, Children, ClaimRequest, CreateOutcome, CreateRequest,
    DeleteOutcome, Dispatch, Holding, LogAppend, MissingCause, MissingFollowUp, PUBLISH_LEASE, Registration, Renewal,
    Task, TaskFilter, WorkerState,
};

use super::answer::{Answer, Whole};
use super::follow::{attempt, follow, followed};
use super::gates::{Gates, Wait};
use super::operation::{CANCELLED, Operation};
use crate::conformance::lab::START;

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) task: Task,
    pub(crate) attempts: Vec<Attempt>,
    request_hash: Option<[u8; 32]>,
    /// Of the dispatch row.
    pub(super) publish_at: Timestamp,
    pub(super) wait: Wait,
    /// It has a place of its concurrency key.
    pub(super) holds: bool,
}

impl Row {
    fn new(spec: TaskSpec, life: TaskLife, request_hash: Option<[u8; 32]>, by_caller: bool, now: Timestamp) -> Self {
        let mut row = Self {
            task: Task {
                spec,
                life,
                output: None,
                worker: None,
                started_at: None,
                progress: None,
            },
            attempts: Vec::new(),
            request_hash,
            publish_at: now,
            wait: Wait::Ready,
            holds: false,
        };
        row.wait(by_caller, now);
        row
    }

    pub(super) fn due_at(&self) -> Option<Timestamp> {
        match self.task.life.state {
            TaskState::Pending { due_at } => Some(due_at),
            _ => None,
        }
    }

    fn dispatch(&self) -> Option<Dispatch> {
        Some(Dispatch {
            due_at: self.due_at()?,
            target: self.task.spec.target.clone(),
            name: self.task.spec.name.clone(),
            publish_at: self.publish_at,
            expires_at: self.task.life.expires_at,
            delayed: self.wait.is_delayed(),
            blocked: self.wait.waits_for_key(),
        })
    }

    /// As it is ready, where it goes in its target.
    fn ready(&self) -> Option<(std::cmp::Reverse<u8>, Timestamp)> {
        let due_at = self.due_at().filter(|_| self.wait == Wait::Ready)?;
        Some((std::cmp::Reverse(self.task.spec.priority), due_at))
    }

    fn wait(&mut self, by_caller: bool, now: Timestamp) {
        if let Some(due_at) = self.due_at() {
            self.wait = Wait::of(&self.task.spec, due_at, now);
            self.publish_at = if due_at > now {
                due_at
            } else if by_caller {
                now + PUBLISH_LEASE
            } else {
                now
            };
        }
    }
}

/// When a task goes: named ones first, then by priority and age.
pub(crate) type Turn = (bool, std::cmp::Reverse<u8>, Timestamp);

#[derive(Debug, Clone)]
pub(crate) struct WorkerRow {
    pub(crate) registration: Registration,
    pub(crate) state: WorkerState,
    registered_at: Timestamp,
    lease_expires_at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) now: Timestamp,
    pub(crate) tasks: BTreeMap<TaskId, Row>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerRow>,
    paused: BTreeSet<Target>,
    missing: BTreeMap<(TaskId, FollowUpPlace), MissingFollowUp>,
    pub(crate) groups: BTreeMap<GroupId, groups::GroupRow>,
    /// What members of groups told that is still to be counted.
    waiting: groups::Waiting,
    keys: HashMap<(String, String), ([u8; 32], Vec<TaskId>)>,
    pub(super) gates: Gates,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            now: START,
            tasks: BTreeMap::new(),
            workers: BTreeMap::new(),
            paused: BTreeSet::new(),
            missing: BTreeMap::new(),
            groups: BTreeMap::new(),
            waiting: BTreeMap::new(),
            keys: HashMap::new(),
            gates: Gates::default(),
        }
    }
}

impl Model {
    pub(crate) fn perform(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Advance(by) => {
                self.now = self.now + *by;
                Answer::Nothing
            }
            Operation::Create(requests) => Answer::Created(self.create_all(requests)),
            Operation::Claim(request) => self.claim(request),
            Operation::Apply(changes) => self.apply_batch(changes),
            Operation::CreateGroup(group) => Answer::CreatedGroup(self.create_group(group)),
            Operation::CancelGroup(group) => Answer::CancelledGroup(self.cancel_group(*group, CANCELLED)),
            Operation::SettleGroup(group, seed) => Answer::Settled(self.settle_group(*group, *seed)),
            Operation::Groups => Answer::Groups(Box::new(self.read_groups())),
            Operation::Append(appends) => Answer::appended(appends.iter().filter_map(|append| self.append(append))),
            Operation::Delete(task) => Answer::Deleted(self.delete(*task)),
            Operation::Register(registration) => {
                let row = WorkerRow {
                    state: WorkerState::Live,
                    registered_at: self.now,
                    lease_expires_at: self.now + registration.lease,
                    registration: registration.clone(),
                };
                self.workers.entry(registration.id).or_insert(row);
                Answer::Nothing
            }
            Operation::Leave(worker) => {
                if let Some(row) = self.workers.get_mut(worker)
                    && row.state == WorkerState::Live
                {
                    row.state = WorkerState::Left;
                    row.lease_expires_at = row.lease_expires_at.min(self.now);
                }
                Answer::Nothing
            }
            Operation::Renew(worker, lease) => Answer::Renewed(self.renew(*worker, *lease)),
            Operation::MarkDead => self.mark_dead(),
            Operation::SetPaused(target, paused) => {
                if *paused {
                    self.paused.insert(target.clone());
                } else {
                    self.paused.remove(target);
                }
                Answer::Nothing
            }
            Operation::ReleaseDue => self.release_due(),
            Operation::Feed { target, force } => self.feed(target, *force),
            Operation::PurgeFinished(before) => self.purge_finished(*before),
            Operation::List(filter) => Answer::Tasks(self.list(filter)),
            Operation::Children(parents) => Answer::Children(Box::new(self.children(parents))),
            Operation::ReadAll(ids) => Answer::Whole(ids.iter().filter_map(|id| self.whole(*id)).collect()),
            Operation::Overview => Answer::Overview(Box::new(self.overview())),
        }
    }

    pub(super) fn create(&mut self, request: &CreateRequest) -> CreateOutcome {
        let mut ids: Vec<TaskId> = request.tasks.iter().map(|task| task.spec.id).collect();
        let key = request.idempotency.as_ref();
        if let Some(key) = key
            && let Some((body_hash, kept)) = self.keys.get(&(key.scope.clone(), key.key.clone()))
        {
            return if *body_hash == key.body_hash {
                CreateOutcome::Replayed { ids: kept.clone() }
            } else {
                CreateOutcome::KeyReused
            };
        }
        let met = |same: bool| {
            request.tasks.iter().find(|task| {
                self.tasks
                    .get(&task.spec.id)
                    .is_some_and(|row| (row.request_hash == task.request_hash) == same)
            })
        };
        if let Some(other) = met(false) {
            return CreateOutcome::IdTaken { id: other.spec.id };
        }
        if let Some(same) = met(true) {
            return CreateOutcome::Exists { id: same.spec.id };
        }
        let mut there = Vec::new();
        for (place, new) in request.tasks.iter().enumerate() {
            if let Some(met) = self.meet(&new.spec) {
                ids[place] = met;
                there.push((place, met));
                continue;
            }
            self.bring(&new.spec);
            let by_caller = new.announce == Announce::ByCaller;
            let row = Row::new(
                new.spec.clone(),
                new.life.clone(),
                new.request_hash,
                by_caller,
                self.now,
            );
            self.tasks.insert(new.spec.id, row);
        }
        if let Some(key) = key {
            self.keys
                .insert((key.scope.clone(), key.key.clone()), (key.body_hash, ids));
        }
        if request.tasks.iter().all(|task| task.spec.conditions.is_none()) {
            return CreateOutcome::Created;
        }
        CreateOutcome::Admitted(Admission {
            met: there,
            ready: Vec::new(),
        })
    }

    fn is_live(&self, worker: WorkerId) -> bool {
        self.workers
            .get(&worker)
            .is_some_and(|row| row.state == WorkerState::Live && row.lease_expires_at > self.now)
    }

    /// What the claim may take, in the order it goes; equal keys have no order.
    pub(crate) fn candidates(&self, request: &ClaimRequest) -> Vec<(Turn, TaskId)> {
        let named: BTreeSet<TaskId> = request.named.iter().copied().collect();
        let mut candidates: Vec<_> = self
            .tasks
            .iter()
            .filter(|(id, _)| self.is_live(request.worker) && (request.fill_up || named.contains(id)))
            .filter(|(_, row)| {
                let Task { spec, life, .. } = &row.task;
                request.targets.contains(&spec.target)
                    && request.names.contains(&spec.name)
                    && !self.paused.contains(&spec.target)
                    && life.expires_at > self.now
            })
            .filter_map(|(id, row)| {
                let (priority, due_at) = row.ready().filter(|(_, due_at)| *due_at <= self.now)?;
                Some(((!named.contains(id), priority, due_at), *id))
            })
            .collect();
        candidates.sort_unstable();
        candidates
    }

    fn claim(&mut self, request: &ClaimRequest) -> Answer {
        let worker = request.worker;
        let taken: Vec<TaskId> = self
            .candidates(request)
            .into_iter()
            .take(request.limit)
            .map(|(_, id)| id)
            .collect();
        let mut claimed = Vec::new();
        for id in taken {
            let outcome = self.apply(&Change::new(id, TaskEvent::Claimed { worker }), &mut Vec::new());
            assert!(
                matches!(outcome, ChangeOutcome::Done(_)),
                "the guards are those of the core"
            );
            let life = &self.tasks[&id].task.life;
            claimed.push((id, life.attempt, life.run));
        }
        self.gates.claimed();
        Answer::claimed(claimed)
    }

    fn apply_batch(&mut self, changes: &[Change]) -> Answer {
        let mut told = BTreeMap::new();
        let outcomes = self.apply_all(changes);
        for outcome in &outcomes {
            if let ChangeOutcome::Done(changed) = outcome
                && let Some(group) = changed.group
            {
                let ends: &mut GroupEnds = told.entry(group).or_default();
                ends.add(GroupEnds::of(changed.before, changed.life.status()));
            }
        }
        self.wait_to_be_counted(told);
        Answer::Applied(outcomes)
    }

    /// Without what it means for other tasks.
    pub(super) fn apply(&mut self, change: &Change, follow_ups: &mut Vec<(TaskSpec, TaskLife)>) -> ChangeOutcome {
        let now = self.now;
        self.touch(change.task);
        let Some(row) = self.tasks.get_mut(&change.task) else {
            return ChangeOutcome::NotFound;
        };
        let Task { spec, life, .. } = &mut row.task;
        if change.expected_version.is_some_and(|expected| expected != life.version) {
            return ChangeOutcome::VersionMismatch { current: life.version };
        }
        let before = life.status();
        let moved = match transition(life, &spec.policy, &change.event, now) {
            Ok(moved) => moved,
            Err(refusal) => {
                return match &change.event {
                    TaskEvent::Reported(report)
                        if row.attempts.iter().any(|attempt| {
                            (attempt.attempt, attempt.outcome) == (report.attempt, report.ending.outcome())
                        }) =>
                    {
                        ChangeOutcome::AlreadyReported { saga: None }
                    }
                    _ => ChangeOutcome::Refused {
                        refusal,
                        status: before,
                    },
                };
            }
        };
        *life = moved.next;
        follow(&mut row.task, change, moved.ended.as_ref());
        let handed_back = moved
            .ended
            .as_ref()
            .is_some_and(|ended| ended.outcome == AttemptOutcome::Released);
        row.attempts.extend(moved.ended.map(|ended| attempt(ended, change)));
        row.wait(true, now);
        self.gates.changed(change.task, handed_back);
        let row = &self.tasks[&change.task];
        let (followed, made) = followed(&row.task, change, now);
        let Task {
            spec, life, started_at, ..
        } = &row.task;
        let changed = Changed {
            task: change.task,
            name: spec.name.clone(),
            target: spec.target.clone(),
            before,
            life: life.clone(),
            started_at: *started_at,
            followed,
            admitted: Vec::new(),
            group: spec.group.map(|place| place.group),
            saga: None,
        };
        follow_ups.extend(made);
        ChangeOutcome::Done(changed)
    }

    /// After all changes of a call.
    pub(super) fn insert_follow_up(&mut self, spec: TaskSpec, life: TaskLife) {
        self.bring(&spec);
        let before = self.tasks.insert(spec.id, Row::new(spec, life, None, true, self.now));
        assert!(before.is_none(), "a follow-up has an id of its own");
    }

    pub(super) fn record_missing<'a>(&mut self, missing: impl IntoIterator<Item = &'a MissingFollowUp>) {
        let missing = missing.into_iter();
        self.missing
            .extend(missing.map(|missing| ((missing.parent, missing.place), missing.clone())));
    }

    fn children(&self, parents: &[TaskId]) -> Children {
        let rows = self.tasks.values().map(|row| &row.task);
        let of_parents = |parent: Option<TaskId>| parent.is_some_and(|parent| parents.contains(&parent));
        let mut tasks: Vec<Task> = rows.filter(|task| of_parents(task.spec.parent_id)).cloned().collect();
        tasks.sort_by_key(|task| {
            let TaskSpec {
                parent_id, place, id, ..
            } = &task.spec;
            (*parent_id, place.is_none(), *place, *id)
        });
        let missing = self.missing.values().filter(|missing| of_parents(Some(missing.parent)));
        Children {
            tasks,
            missing: missing.cloned().collect(),
            truncated: false,
        }
    }

    /// The attempt, if it runs.
    fn append(&mut self, append: &LogAppend) -> Option<(TaskId, u32)> {
        let Task { life, progress, .. } = &mut self.tasks.get_mut(&append.task)?.task;
        let runs = life.status() == TaskStatus::InProgress && life.attempt == append.attempt;
        runs.then(|| {
            *progress = append.progress.or(*progress);
            (append.task, append.attempt)
        })
    }

    fn delete(&mut self, task: TaskId) -> DeleteOutcome {
        match self.tasks.get(&task).map(|row| row.task.life.status()) {
            None => DeleteOutcome::NotFound,
            Some(status) if !status.is_terminal() => DeleteOutcome::NotTerminal { status },
            Some(_) => {
                self.missing.retain(|(parent, _), _| *parent != task);
                let row = self.tasks.remove(&task);
                if let Some(TaskSpec {
                    parent_id: Some(parent),
                    place: Some(place),
                    name,
                    ..
                }) = row.map(|row| row.task.spec)
                    && self.tasks.contains_key(&parent)
                {
                    let missing = MissingFollowUp {
                        parent,
                        place,
                        name: name.to_string(),
                        cause: MissingCause::Deleted,
                        reason: String::new(),
                        since: self.now,
                    };
                    self.missing.insert((parent, place), missing);
                }
                DeleteOutcome::Deleted
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = (&Task, WorkerId, bool)> {
        self.tasks.values().filter_map(|row| match &row.task.life.state {
            TaskState::InProgress {
                worker,
                cancel_requested,
                ..
            } => Some((&row.task, *worker, cancel_requested.is_some())),
            _ => None,
        })
    }

    fn renew(&mut self, worker: WorkerId, lease: Duration) -> Renewal {
        if !self.is_live(worker) {
            return Renewal::Lost;
        }
        if let Some(row) = self.workers.get_mut(&worker) {
            row.lease_expires_at = self.now + lease;
        }
        let holdings = self
            .running()
            .filter(|(_, holder, _)| *holder == worker)
            .map(|(task, _, cancel_requested)| Holding {
                task: task.spec.id,
                attempt: task.life.attempt,
                cancel_requested,
                expires_at: task.life.expires_at,
            });
        Renewal::Renewed {
            holdings: holdings.collect(),
            left: Duration::ZERO,
        }
    }

    fn mark_dead(&mut self) -> Answer {
        let mut dead = Vec::new();
        for (id, row) in &mut self.workers {
            if row.state == WorkerState::Live && row.lease_expires_at <= self.now {
                row.state = WorkerState::Dead;
                dead.push(*id);
            }
        }
        Answer::Workers(dead)
    }

    fn feed(&mut self, target: &Target, force: bool) -> Answer {
        let now = self.now;
        let offered: BTreeSet<TaskName> = self
            .workers
            .values()
            .filter(|row| row.state == WorkerState::Live && row.registration.targets.contains(target))
            .flat_map(|row| row.registration.names.iter().cloned())
            .collect();
        let mut fed = Vec::new();
        for (id, row) in &mut self.tasks {
            let may = force || row.publish_at <= now;
            let TaskSpec { target: its, name, .. } = &row.task.spec;
            if row.ready().is_some() && its == target && offered.contains(name) && may {
                row.publish_at = now + PUBLISH_LEASE;
                fed.push(*id);
            }
        }
        Answer::Tasks(fed)
    }

    fn purge_finished(&mut self, before: Timestamp) -> Answer {
        let is_gone = |row: &Row| is_old(row, before) && !self.is_in_an_open_group(row);
        let old = self.tasks.iter().filter(|(_, row)| is_gone(row));
        let old: Vec<TaskId> = old.map(|(id, _)| *id).collect();
        for id in &old {
            self.tasks.remove(id);
        }
        self.missing.retain(|(parent, _), _| self.tasks.contains_key(parent));
        let groups = self.purge_groups(before);
        Answer::Count((old.len() + groups) as u64)
    }

    fn list(&self, filter: &TaskFilter) -> Vec<TaskId> {
        let shown = |row: &Row| {
            let Task { spec, life, .. } = &row.task;
            filter.status.is_none_or(|status| status == life.status())
                && filter.name.as_ref().is_none_or(|name| *name == spec.name)
                && filter.target.as_ref().is_none_or(|target| *target == spec.target)
                && filter.parent_id.is_none_or(|parent| spec.parent_id == Some(parent))
                && filter
                    .labels
                    .iter()
                    .all(|(key, value)| spec.labels.get(key) == Some(value))
                && filter.created_after.is_none_or(|after| spec.created_at >= after)
                && filter.created_before.is_none_or(|before| spec.created_at < before)
        };
        self.tasks
            .iter()
            .rev()
            .filter(|(_, row)| shown(row))
            .map(|(id, _)| *id)
            .collect()
    }

    fn whole(&self, id: TaskId) -> Option<Whole> {
        let row = self.tasks.get(&id)?;
        Some(Whole {
            task: row.task.clone(),
            attempts: row.attempts.clone(),
            dispatch: row.dispatch(),
        })
    }
}

pub(super) fn is_old(row: &Row, before: Timestamp) -> bool {
    finished_at(&row.task).is_some_and(|finished_at| finished_at < before)
}

fn finished_at(task: &Task) -> Option<Timestamp> {
    match task.life.state {
        TaskState::Pending { .. } | TaskState::InProgress { .. } => None,
        TaskState::Completed { finished_at }
        | TaskState::Failed { finished_at, .. }
        | TaskState::Expired { finished_at, .. }
        | TaskState::Cancelled { finished_at, .. } => Some(finished_at),
    }
}
