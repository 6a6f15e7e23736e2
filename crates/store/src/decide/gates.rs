//! Who asks for a place of a concurrency key or a start of a rate key, and who gives one back.
//!
//! ```text
//!   due ──► 2 waits for a place ──► 4 waits for a start ──► 0 ready ──► running ──► over, or later: the place is free
//! ```
//!
//! A task has its place from when it is ready until its attempt has ended: so the claim need not know of keys, and no more than the
//! limit ever run. Whoever changes tasks of a key settles it in the same transaction: what was given back goes to who waits.

use std::collections::BTreeMap;

use orchestratum_core::task::{Bucket, Concurrency, Conditions, Rate, TaskState};
use orchestratum_core::{TaskId, Timestamp};

use super::{Stored, TaskWrite};
use crate::NewTask;

/// `state` of a dispatch row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DispatchState {
    Ready = 0,
    /// Until it is due.
    Delayed = 1,
    /// Waits for a place of its concurrency key.
    Blocked = 2,
    /// Until it is due; then it asks.
    AsksLater = 3,
    /// Waits for a start of its rate key, and has its place, if it needs one.
    Throttled = 4,
}

impl DispatchState {
    /// Of a task that is pending from now on.
    pub(crate) fn of(conditions: Option<&Conditions>, due_at: Timestamp, now: Timestamp) -> Self {
        match conditions.filter(|conditions| conditions.gates()) {
            None if due_at > now => Self::Delayed,
            None => Self::Ready,
            Some(_) if due_at > now => Self::AsksLater,
            Some(Conditions {
                concurrency: Some(_), ..
            }) => Self::Blocked,
            Some(_) => Self::Throttled,
        }
    }

    /// The number in the database.
    pub(crate) const fn code(self) -> i16 {
        self as i16
    }

    pub(crate) const fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Ready),
            1 => Some(Self::Delayed),
            2 => Some(Self::Blocked),
            3 => Some(Self::AsksLater),
            4 => Some(Self::Throttled),
            _ => None,
        }
    }

    pub(crate) const fn is_delayed(self) -> bool {
        matches!(self, Self::Delayed | Self::AsksLater)
    }

    pub(crate) const fn waits_for_key(self) -> bool {
        matches!(self, Self::Blocked | Self::Throttled)
    }
}

/// What a change means for what a task with conditions has and wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has no conditions, or goes on with what it has.
    Keeps,
    /// It gives back what it has, and asks anew.
    Asks,
    /// It gives back what it has.
    Leaves,
}

impl Standing {
    pub(crate) fn of(task: &TaskWrite, now: Timestamp) -> Self {
        if !task
            .after
            .conditions
            .as_ref()
            .is_some_and(|conditions| conditions.gates())
        {
            return Self::Keeps;
        }
        match task.after.life.state {
            TaskState::InProgress { .. } => Self::Keeps,
            TaskState::Pending { due_at } if due_at > now => Self::Leaves,
            // Edited while it was ready; or handed back, so that its start was none.
            TaskState::Pending { .. }
                if task.handed_back || (task.was_pending && task.after.waits == Some(DispatchState::Ready)) =>
            {
                Self::Keeps
            }
            TaskState::Pending { .. } => Self::Asks,
            TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Expired { .. }
            | TaskState::Cancelled { .. } => Self::Leaves,
        }
    }
}

/// A task that wants a place or a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) task: TaskId,
    pub(crate) key: String,
    pub(crate) priority: u8,
    pub(crate) due_at: Timestamp,
}

/// What a transaction does to keys.
#[derive(Debug, Default)]
pub(crate) struct GateChanges {
    /// They give back whatever they have, and want nothing but what they ask for.
    pub(crate) leaving: Vec<TaskId>,
    /// For a place.
    pub(crate) asking: Vec<Asking>,
    /// For a start, and for no place.
    pub(crate) starting: Vec<Asking>,
    /// The concurrency keys to be settled, each with a limit for one that has none yet: the smallest of its tasks.
    pub(crate) places: BTreeMap<String, u16>,
    /// Those whose limit a new task brings.
    pub(crate) limits: BTreeMap<String, u16>,
    /// The rate keys to be settled, in the same way.
    pub(crate) starts: BTreeMap<String, Rate>,
    pub(crate) rates: BTreeMap<String, Rate>,
}

impl GateChanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.starts.is_empty()
    }

    /// The new tasks among these that are due ask at once.
    pub(crate) fn created<'a>(&mut self, tasks: impl IntoIterator<Item = &'a NewTask>, now: Timestamp) {
        for NewTask { spec, life, .. } in tasks {
            let Some(conditions) = spec.conditions.as_deref() else {
                continue;
            };
            if let Some(concurrency) = &conditions.concurrency {
                self.limits.insert(concurrency.key.clone(), concurrency.limit);
            }
            if let Some(rate) = &conditions.rate {
                self.rates.insert(rate.key.clone(), rate.clone());
                self.starts.insert(rate.key.clone(), rate.clone());
            }
            match life.state {
                TaskState::Pending { due_at } if due_at <= now => {
                    self.ask(spec.id, conditions, spec.priority, due_at);
                }
                _ => self.look(conditions, None),
            }
        }
    }

    pub(crate) fn changed(&mut self, task: &TaskWrite, now: Timestamp) {
        let after = &task.after;
        let standing = Standing::of(task, now);
        let Some(conditions) = after.conditions.as_deref().filter(|_| standing != Standing::Keeps) else {
            return;
        };
        self.leaving.push(after.id);
        self.look(conditions, after.waits);
        if let (Standing::Asks, TaskState::Pending { due_at }) = (standing, &after.life.state) {
            self.ask(after.id, conditions, after.priority, *due_at);
        }
    }

    /// It was locked and is as it was: whoever settled its key meanwhile has passed it over.
    pub(crate) fn untouched(&mut self, task: &Stored) {
        if let Some(conditions) = task.conditions.as_deref()
            && task.waits.is_some_and(DispatchState::waits_for_key)
        {
            self.look(conditions, task.waits);
        }
    }

    /// A task whose time has come.
    pub(crate) fn ask(&mut self, task: TaskId, conditions: &Conditions, priority: u8, due_at: Timestamp) {
        let asking = |key: &String| Asking {
            task,
            key: key.clone(),
            priority,
            due_at,
        };
        if let Some(concurrency) = &conditions.concurrency {
            self.place(concurrency);
            self.asking.push(asking(&concurrency.key));
        } else if let Some(rate) = &conditions.rate {
            self.starts.insert(rate.key.clone(), rate.clone());
            self.starting.push(asking(&rate.key));
        }
    }

    fn place(&mut self, Concurrency { key, limit }: &Concurrency) {
        let smallest = self.places.entry(key.clone()).or_insert(*limit);
        *smallest = (*smallest).min(*limit);
    }

    fn look(&mut self, conditions: &Conditions, waits: Option<DispatchState>) {
        if let Some(concurrency) = &conditions.concurrency {
            self.place(concurrency);
        }
        // Only who waits for a start has something of it.
        if let Some(rate) = &conditions.rate
            && waits == Some(DispatchState::Throttled)
        {
            self.starts.insert(rate.key.clone(), rate.clone());
        }
    }
}

/// The most tasks that get a place, and the most that get a start, in one transaction: what is free beyond that the loop for due
/// tasks gives, in others.
pub(crate) const GIVEN_MAX: i64 = 1_000;

/// A concurrency key under its lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlaceCounts {
    pub(crate) limit: i64,
    pub(crate) held: i64,
    pub(crate) waiting: i64,
}

impl PlaceCounts {
    /// Somebody gave it back, or no longer waits.
    pub(crate) const fn leave(&mut self, held: bool) {
        if held {
            self.held -= 1;
        } else {
            self.waiting -= 1;
        }
    }

    /// How many of those who wait get a place, of so many that may still be given.
    pub(crate) fn free(&self, left: &mut i64) -> i64 {
        let free = (self.limit - self.held).min(self.waiting).min(*left).max(0);
        *left -= free;
        free
    }

    pub(crate) const fn give(&mut self, places: i64) {
        self.held += places;
        self.waiting -= places;
    }

    pub(crate) const fn is_unused(&self) -> bool {
        self.held == 0 && self.waiting == 0
    }
}

/// A rate key under its lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartCounts {
    pub(crate) bucket: Bucket,
    pub(crate) waiting: i64,
}

impl StartCounts {
    /// Of a row. What is out of its range was never written.
    pub(crate) fn new(limit: i64, per_ms: i64, spent_until: Timestamp, waiting: i64) -> Self {
        let limit = u32::try_from(limit).unwrap_or(1).max(1);
        Self {
            bucket: Bucket {
                limit,
                per: std::time::Duration::from_millis(u64::try_from(per_ms).unwrap_or(1)),
                burst: limit,
                spent_until,
            },
            waiting,
        }
    }

    /// How many of those who wait get a start, of so many that may still be given.
    pub(crate) fn free(&self, left: &mut i64, now: Timestamp) -> i64 {
        let available = i64::from(self.bucket.available(now));
        let free = available.min(self.waiting).min(*left).max(0);
        *left -= free;
        free
    }

    pub(crate) fn give(&mut self, starts: i64, now: Timestamp) {
        self.waiting -= starts;
        self.bucket = self.bucket.after(u32::try_from(starts).unwrap_or(0), now);
    }
}
