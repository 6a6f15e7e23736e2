//! Conditions in the model: who has a place, who waits for what, and which tasks are alike.

use std::collections::{BTreeMap, BTreeSet};

use orchestratum_core::task::{Bucket, Rate, TaskEvent, TaskLife, TaskSpec, TaskState};
use orchestratum_core::{TaskId, Timestamp};
use orchestratum_store::{
    Change, ChangeOutcome, CreateOutcome, CreateRequest, Followed, MissingCause, MissingFollowUp, PUBLISH_LEASE, Ready,
};

use super::answer::Answer;
use super::model::{Model, Row};

/// What a pending task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Ready,
    Delayed,
    Blocked,
    AsksLater,
    Throttled,
}

impl Wait {
    pub(super) fn of(spec: &TaskSpec, due_at: Timestamp, now: Timestamp) -> Self {
        let conditions = spec.conditions.as_ref().filter(|conditions| conditions.gates());
        match (conditions, due_at > now) {
            (None, false) => Self::Ready,
            (None, true) => Self::Delayed,
            (Some(_), true) => Self::AsksLater,
            (Some(conditions), false) if conditions.concurrency.is_some() => Self::Blocked,
            (Some(_), false) => Self::Throttled,
        }
    }

    pub(super) fn is_delayed(self) -> bool {
        matches!(self, Self::Delayed | Self::AsksLater)
    }

    pub(super) fn waits_for_key(self) -> bool {
        matches!(self, Self::Blocked | Self::Throttled)
    }
}

/// How a task stood when a call first touched it.
#[derive(Debug, Clone)]
struct Before {
    was_pending: bool,
    wait: Wait,
    changed: bool,
    handed_back: bool,
}

#[derive(Debug, Default)]
pub(super) struct Gates {
    limits: BTreeMap<String, usize>,
    rates: BTreeMap<String, (Rate, Timestamp)>,
    alike: BTreeMap<String, TaskId>,
    /// In the call that goes on.
    touched: BTreeMap<TaskId, Before>,
    starts: BTreeSet<String>,
}

impl Gates {
    pub(super) fn changed(&mut self, task: TaskId, handed_back: bool) {
        if let Some(before) = self.touched.get_mut(&task) {
            before.changed = true;
            before.handed_back = handed_back;
        }
    }

    /// Where no dispatch row is locked, who waits is only met by those that change it.
    fn leave_unchanged(&mut self) {
        self.touched.retain(|_, before| before.changed);
    }

    /// A claim changes nothing for others.
    pub(super) fn claimed(&mut self) {
        self.touched.clear();
    }

    fn bucket(&self, key: &str) -> Option<Bucket> {
        let (rate, spent_until) = self.rates.get(key)?;
        Some(Bucket {
            limit: rate.limit,
            per: rate.per(),
            burst: rate.limit,
            spent_until: *spent_until,
        })
    }
}

fn place_key(row: &Row) -> Option<&str> {
    let concurrency = row.task.spec.conditions.as_ref()?.concurrency.as_ref()?;
    Some(&concurrency.key)
}

fn rate_of(row: &Row) -> Option<&Rate> {
    row.task.spec.conditions.as_ref()?.rate.as_ref()
}

impl Model {
    /// The task that a new one meets; or the new one is the newest of its kind.
    pub(super) fn meet(&mut self, spec: &TaskSpec) -> Option<TaskId> {
        let unique = spec.conditions.as_ref()?.unique.as_ref()?;
        let there = self.gates.alike.get(&unique.hash).and_then(|id| self.tasks.get(id));
        if let Some(row) = there
            && unique.meets(row.task.life.status(), row.task.spec.created_at, self.now)
        {
            return Some(row.task.spec.id);
        }
        self.gates.alike.insert(unique.hash.clone(), spec.id);
        None
    }

    /// A new task says how many places and starts its keys have.
    pub(super) fn bring(&mut self, spec: &TaskSpec) {
        let Some(conditions) = &spec.conditions else { return };
        if let Some(concurrency) = &conditions.concurrency {
            self.gates
                .limits
                .insert(concurrency.key.clone(), concurrency.limit.into());
        }
        if let Some(rate) = &conditions.rate {
            self.gates.starts.insert(rate.key.clone());
            self.gates
                .rates
                .entry(rate.key.clone())
                .or_insert((rate.clone(), Timestamp::EPOCH))
                .0 = rate.clone();
        }
    }

    pub(super) fn touch(&mut self, task: TaskId) {
        if let Some(row) = self.tasks.get(&task) {
            self.gates.touched.entry(task).or_insert(Before {
                was_pending: row.due_at().is_some(),
                wait: row.wait,
                changed: false,
                handed_back: false,
            });
        }
    }

    pub(super) fn create_all(&mut self, requests: &[CreateRequest]) -> Vec<CreateOutcome> {
        let mut outcomes: Vec<CreateOutcome> = requests.iter().map(|request| self.create(request)).collect();
        let mut ready = self.settle(self.now + PUBLISH_LEASE);
        for (request, outcome) in requests.iter().zip(&mut outcomes) {
            if let CreateOutcome::Admitted(admission) = outcome {
                let (its, others) = ready
                    .into_iter()
                    .partition(|ready| request.tasks.iter().any(|task| task.spec.id == ready.task));
                (admission.ready, ready) = (its, others);
            }
        }
        let first = outcomes.iter_mut().find_map(|outcome| match outcome {
            CreateOutcome::Admitted(admission) => Some(admission),
            _ => None,
        });
        if let Some(first) = first {
            first.ready.append(&mut ready);
        }
        outcomes
    }

    pub(super) fn apply_all(&mut self, changes: &[Change]) -> Vec<ChangeOutcome> {
        let mut follow_ups: Vec<(TaskSpec, TaskLife)> = Vec::new();
        let mut outcomes: Vec<ChangeOutcome> = changes
            .iter()
            .map(|change| self.apply(change, &mut follow_ups))
            .collect();
        follow_ups.sort_by_key(|(spec, _)| spec.id);
        let mut met = BTreeMap::new();
        for (spec, life) in follow_ups {
            match self.meet(&spec) {
                Some(there) => {
                    met.insert(spec.id, there);
                }
                None => self.insert_follow_up(spec, life),
            }
        }
        for outcome in &mut outcomes {
            if let ChangeOutcome::Done(changed) = outcome {
                leave_out(changed.task, &mut changed.followed, &met, self.now);
                self.record_missing(&changed.followed.missing);
            }
        }
        let is_of_a_running_one =
            |change: &Change| matches!(change.event, TaskEvent::Reported(_) | TaskEvent::WorkerLost { .. });
        if changes.iter().all(is_of_a_running_one) {
            self.gates.leave_unchanged();
        }
        let is_told = outcomes.iter().any(|outcome| matches!(outcome, ChangeOutcome::Done(_)));
        let admitted = self.settle(if is_told { self.now + PUBLISH_LEASE } else { self.now });
        let first = outcomes.iter_mut().find_map(|outcome| match outcome {
            ChangeOutcome::Done(changed) => Some(changed),
            _ => None,
        });
        if let Some(first) = first {
            first.admitted = admitted;
        }
        outcomes
    }

    pub(super) fn release_due(&mut self) -> Answer {
        let now = self.now;
        let mut released = Vec::new();
        for (id, row) in &mut self.tasks {
            if row
                .due_at()
                .is_some_and(|due_at| row.wait.is_delayed() && due_at <= now)
            {
                if row.wait == Wait::Delayed {
                    (row.wait, row.publish_at) = (Wait::Ready, now);
                    released.push(*id);
                } else {
                    row.wait = Wait::of(&row.task.spec, row.due_at().unwrap_or(now), now);
                    if let Some(rate) = rate_of(row).filter(|_| row.wait == Wait::Throttled) {
                        self.gates.starts.insert(rate.key.clone());
                    }
                }
            }
        }
        let open: Vec<String> = self
            .waited_for()
            .into_iter()
            .filter(|(_, opens_at)| *opens_at <= now)
            .map(|(key, _)| key)
            .collect();
        self.gates.starts.extend(open);
        released.extend(self.settle(now).into_iter().map(|ready| ready.task));
        released.sort_unstable();
        Answer::Tasks(released)
    }

    /// The rate keys that somebody waits for, and when they open.
    fn waited_for(&self) -> BTreeMap<String, Timestamp> {
        let waiting = self
            .tasks
            .values()
            .filter(|row| row.due_at().is_some() && row.wait == Wait::Throttled);
        let keys = waiting.filter_map(|row| Some(rate_of(row)?.key.clone()));
        keys.filter_map(|key| Some((key.clone(), self.gates.bucket(&key)?.opens_at())))
            .collect()
    }

    pub(super) fn next_start(&self) -> Option<Timestamp> {
        self.waited_for().into_values().min()
    }

    /// What was given back, and what is asked for, at the end of a call.
    fn settle(&mut self, publish_at: Timestamp) -> Vec<Ready> {
        for (id, before) in std::mem::take(&mut self.gates.touched) {
            self.keep_or_leave(id, &before);
        }
        let mut ready = Vec::new();
        let keys: BTreeSet<String> = self
            .tasks
            .values()
            .filter_map(|row| place_key(row).map(str::to_owned))
            .collect();
        for key in keys {
            self.give_places(&key, &mut ready);
        }
        for (id, row) in &self.tasks {
            if row.due_at().is_some()
                && row.wait == Wait::Throttled
                && let Some(rate) = rate_of(row)
                && !self.gates.rates.contains_key(&rate.key)
            {
                panic!("task {id} waits for a key that nobody has asked for");
            }
        }
        for key in std::mem::take(&mut self.gates.starts) {
            self.give_starts(&key, &mut ready);
        }
        ready.sort_unstable();
        let now_ready = ready.into_iter().map(|id| {
            let row = self.tasks.get_mut(&id).expect("it is there");
            (row.wait, row.publish_at) = (Wait::Ready, publish_at);
            Ready {
                task: id,
                target: row.task.spec.target.clone(),
                name: row.task.spec.name.clone(),
            }
        });
        now_ready.collect()
    }

    fn keep_or_leave(&mut self, id: TaskId, before: &Before) {
        let Some(row) = self.tasks.get_mut(&id) else { return };
        if !before.changed {
            if before.wait == Wait::Throttled && before.was_pending {
                self.gates.starts.extend(rate_of(row).map(|rate| rate.key.clone()));
            }
            return;
        }
        let asks = row
            .task
            .spec
            .conditions
            .as_ref()
            .is_some_and(|conditions| conditions.gates());
        if !asks || matches!(row.task.life.state, TaskState::InProgress { .. }) {
            return;
        }
        let is_due = row.due_at().is_some() && !row.wait.is_delayed();
        let kept = before.handed_back || (before.was_pending && before.wait == Wait::Ready);
        if is_due && kept {
            row.wait = Wait::Ready;
            return;
        }
        row.holds = false;
        let waited = before.was_pending && before.wait == Wait::Throttled;
        if waited || (is_due && row.wait == Wait::Throttled) {
            self.gates.starts.extend(rate_of(row).map(|rate| rate.key.clone()));
        }
    }

    /// Those who wait, in their order.
    fn line(&self, waits: impl Fn(&Row) -> bool) -> Vec<TaskId> {
        let waiting = self
            .tasks
            .iter()
            .filter(|(_, row)| row.due_at().is_some() && waits(row));
        let mut line: Vec<_> = waiting
            .map(|(id, row)| (std::cmp::Reverse(row.task.spec.priority), row.due_at(), *id))
            .collect();
        line.sort_unstable();
        line.into_iter().map(|(_, _, id)| id).collect()
    }

    fn give_places(&mut self, key: &str, ready: &mut Vec<TaskId>) {
        let of_key = |row: &Row| place_key(row) == Some(key);
        let held = self.tasks.values().filter(|row| row.holds && of_key(row)).count();
        let line = self.line(|row| row.wait == Wait::Blocked && of_key(row));
        if held + line.len() == 0 {
            self.gates.limits.remove(key);
            return;
        }
        let own = line.iter().filter_map(|id| {
            let conditions = self.tasks[id].task.spec.conditions.as_ref()?;
            Some(usize::from(conditions.concurrency.as_ref()?.limit))
        });
        let own = own.min().unwrap_or(1);
        let limit = *self.gates.limits.entry(key.to_owned()).or_insert(own);
        for id in line.into_iter().take(limit.saturating_sub(held)) {
            let row = self.tasks.get_mut(&id).expect("it is there");
            row.holds = true;
            match rate_of(row).cloned() {
                None => ready.push(id),
                Some(rate) => {
                    row.wait = Wait::Throttled;
                    self.gates.starts.insert(rate.key.clone());
                    self.gates
                        .rates
                        .entry(rate.key.clone())
                        .or_insert((rate, Timestamp::EPOCH));
                }
            }
        }
    }

    fn give_starts(&mut self, key: &str, ready: &mut Vec<TaskId>) {
        let line = self.line(|row| row.wait == Wait::Throttled && rate_of(row).is_some_and(|rate| rate.key == key));
        let Some(bucket) = self.gates.bucket(key) else { return };
        let starts = bucket.available(self.now).min(u32::try_from(line.len()).unwrap_or(0));
        if let Some((_, spent_until)) = self.gates.rates.get_mut(key)
            && starts > 0
        {
            *spent_until = bucket.after(starts, self.now).spent_until;
        }
        ready.extend(line.into_iter().take(usize::try_from(starts).unwrap_or(0)));
    }
}

fn leave_out(parent: TaskId, followed: &mut Followed, met: &BTreeMap<TaskId, TaskId>, now: Timestamp) {
    let Followed { tasks, missing } = followed;
    tasks.retain(|follow_up| {
        let Some(there) = met.get(&follow_up.task) else {
            return true;
        };
        missing.push(MissingFollowUp {
            parent,
            place: follow_up.place,
            name: follow_up.name.to_string(),
            cause: MissingCause::Met,
            reason: format!("task {there} is like it"),
            since: now,
        });
        false
    });
    missing.sort_by_key(|missing| missing.place);
}
