//! The statements of the product, one function each. `now` is what the caller binds; the database's own time only
//! serves the checks.

use orchestratum_core::WorkerId;
use orchestratum_core::task::{
    AttemptOutcome, Ending, LifePatch, Refusal, Report, RetryPolicy, TaskEvent, TaskLife, TaskState, TaskStatus,
};

use super::check::Ghost;
use super::{By, Database, DispatchRow, KeyRow, TaskRow, WorkerRow};
use crate::coverage::{EventKind, Marker};
use crate::invariant::Invariant;
use crate::limits::{EXPIRY_GRACE, Micros, NOT_OFFERED, PUBLISH_AGAIN, WINDOW, timestamp};
use crate::mutant::Mutant;

/// A create as an API process sends it; a repeat carries the same id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewTask {
    pub(crate) id: u32,
    pub(crate) key: Option<u8>,
    /// Stands for the hash of the request body.
    pub(crate) body: u8,
    pub(crate) policy: RetryPolicy,
    pub(crate) delay: Micros,
    pub(crate) ttl: Micros,
    pub(crate) rare: bool,
    pub(crate) priority: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    New(u32),
    /// The key was used before, or the very same statement was.
    Known(u32),
    KeyConflict,
}

/// What a claim asks for.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) worker: WorkerId,
    pub(crate) offers_rare: bool,
    pub(crate) named: &'a [u32],
    pub(crate) free: usize,
    /// Whether other tasks take the room that the named ones leave.
    pub(crate) fill_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) task: usize,
    pub(crate) attempt: u32,
    pub(crate) expires_at: Micros,
}

/// One line of the answer to a renewal: what the database thinks this worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) task: usize,
    pub(crate) attempt: u32,
    pub(crate) cancel_requested: bool,
    pub(crate) expires_at: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reported {
    Applied,
    /// This very report was recorded before: its answer got lost, nothing changes.
    AlreadyRecorded,
    /// 409.
    Refused,
}

/// One write that a sweeper decided on after a read. The read may be old by the time it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SweepAction {
    MarkDead(WorkerId),
    Lose {
        task: usize,
        worker: WorkerId,
        attempt: u32,
    },
    Expire {
        task: usize,
    },
    NotOffered {
        task: usize,
    },
}

fn micros(duration: Micros) -> std::time::Duration {
    std::time::Duration::from_micros(duration.unsigned_abs())
}

impl Database {
    pub(crate) fn key_taken(&self, key: u8) -> bool {
        self.keys.iter().any(|row| row.key == key)
    }

    pub(crate) fn create(&mut self, new: &NewTask, now: Micros) -> Created {
        // ON CONFLICT (id) DO NOTHING: the repeat of a statement whose answer got lost.
        if self.find(new.id).is_some() {
            self.sometimes(Marker::UnknownCreateRecovered);
            return Created::Known(new.id);
        }
        if let Some(key) = new.key
            && !self.planted.is(Mutant::KeyCheckedThenInserted)
            && let Some(winner) = self.keys.iter().find(|row| row.key == key)
        {
            let (same, id) = (winner.body == new.body, winner.task);
            self.sometimes(if same {
                Marker::DuplicateCreateAnsweredByKey
            } else {
                Marker::KeyConflictRefused
            });
            return if same { Created::Known(id) } else { Created::KeyConflict };
        }
        if let Some(key) = new.key {
            self.keys.push(KeyRow {
                key,
                body: new.body,
                task: new.id,
            });
        }
        let scheduled_at = now + new.delay;
        let life = TaskLife::new(new.policy, timestamp(scheduled_at), micros(new.ttl));
        self.dispatches.push(Some(DispatchRow {
            due_at: scheduled_at,
            expires_at: life.expires_at.as_micros(),
            publish_at: if new.delay == 0 { now + PUBLISH_AGAIN } else { now },
        }));
        self.tasks.push(TaskRow {
            id: new.id,
            ghost: Ghost::new(new.policy),
            life,
            policy: new.policy,
            rare: new.rare,
            priority: new.priority,
            output_of: None,
            attempts: Vec::new(),
        });
        self.writes += 1;
        Created::New(new.id)
    }

    pub(crate) fn register(&mut self, id: WorkerId, offers_rare: bool, now: Micros, lease_expires_at: Micros) {
        if self.worker(id).is_none() {
            self.workers.push(WorkerRow {
                id,
                lease_expires_at: lease_expires_at.max(now),
                dead: false,
                offers_rare,
            });
            self.writes += 1;
        }
    }

    /// `None`: this worker is no more, it has to register under a new id.
    pub(crate) fn renew(&mut self, id: WorkerId, now: Micros, lease_expires_at: Micros) -> Option<Vec<Held>> {
        let resurrects = self.planted.is(Mutant::RenewalResurrects);
        let shortens = self.planted.is(Mutant::LateRenewalShortensLease);
        let row = self.worker_mut(id)?;
        if (row.dead || row.lease_expires_at <= now) && !resurrects {
            self.sometimes(Marker::LeaseRefused);
            return None;
        }
        row.dead = false;
        // The greater of both: a renewal that was long on its way must not take back what a later one gave.
        let had = row.lease_expires_at;
        row.lease_expires_at = if shortens {
            lease_expires_at
        } else {
            had.max(lease_expires_at)
        };
        if row.lease_expires_at < had && !resurrects {
            self.violate(Invariant::AttemptsDoNotOverlap, || {
                format!("a renewal shortens the lease of worker {id}, which trusts the longer one")
            });
        }
        self.writes += 1;
        Some(self.held_by(id))
    }

    pub(crate) fn held_by(&self, id: WorkerId) -> Vec<Held> {
        let held = |(task, row): (usize, &TaskRow)| match &row.life.state {
            TaskState::InProgress {
                worker,
                cancel_requested,
                ..
            } if *worker == id => Some(Held {
                task,
                attempt: row.life.attempt,
                cancel_requested: cancel_requested.is_some(),
                expires_at: row.expires_at(),
            }),
            _ => None,
        };
        self.tasks.iter().enumerate().filter_map(held).collect()
    }

    /// Whether the claim's guard, which only sees the hand-off row, lets this one through.
    fn claimable(&self, task: usize, offers_rare: bool, now: Micros) -> bool {
        let early = self.planted.is(Mutant::ClaimBeforeDue);
        let late = self.planted.is(Mutant::GuardAfterDelete);
        self.dispatches[task].is_some_and(|row| {
            (row.due_at <= now || early)
                && (row.expires_at > now || late)
                && (offers_rare || !self.tasks[task].rare)
                && !self.paused
        })
    }

    /// Whether a claim by this worker that was bound to `now` and named the task would still have taken it: the row is as
    /// it was when the claim was sent, and nothing stood in the way.
    pub(crate) fn still_waits(&self, id: u32, version: u32, worker: WorkerId, offers_rare: bool, now: Micros) -> bool {
        let alive = |row: &WorkerRow| !row.dead && row.lease_expires_at > now;
        self.worker(worker).is_some_and(alive)
            && self
                .find(id)
                .is_some_and(|task| self.tasks[task].life.version == version && self.claimable(task, offers_rare, now))
    }

    pub(crate) fn claim(&mut self, claim: &Claim<'_>, now: Micros) -> Vec<Claimed> {
        let alive = |row: &WorkerRow| !row.dead && row.lease_expires_at > now;
        if !self.worker(claim.worker).is_some_and(alive) {
            return Vec::new();
        }
        if self.paused {
            self.sometimes(Marker::ClaimWhilePaused);
        }
        let mut chosen: Vec<usize> = Vec::with_capacity(claim.free);
        for id in claim.named {
            let Some(task) = self.find(*id) else {
                self.violate(Invariant::MessageNamesCommittedRow, || {
                    format!("a message names task {id}, which does not exist")
                });
                continue;
            };
            if chosen.len() == claim.free || chosen.contains(&task) {
                continue;
            }
            if self.claimable(task, claim.offers_rare, now) {
                chosen.push(task);
            } else if self.dispatches[task].is_none() {
                self.sometimes(Marker::DuplicateMessageMissed);
                self.must_refuse_claim(task, claim.worker, now);
            }
        }
        let named = chosen.len();
        if claim.fill_up && !self.planted.is(Mutant::NoTopUp) {
            let mut more: Vec<usize> = (0..self.tasks.len())
                .filter(|task| !chosen.contains(task) && self.claimable(*task, claim.offers_rare, now))
                .collect();
            more.sort_by_key(|task| {
                let due_at = self.dispatches[*task].map(|row| row.due_at);
                (u8::MAX - self.tasks[*task].priority, due_at, *task)
            });
            more.truncate(claim.free - named);
            chosen.extend(more);
        }
        if claim.named.is_empty() && !chosen.is_empty() {
            self.sometimes(Marker::LostMessageRecoveredByTopUp);
        }
        chosen
            .into_iter()
            .filter_map(|task| self.take(task, claim.worker, now))
            .collect()
    }

    fn take(&mut self, task: usize, worker: WorkerId, now: Micros) -> Option<Claimed> {
        self.dispatches[task] = None;
        if let Err(refusal) = self.apply(task, &TaskEvent::Claimed { worker }, now, By::Worker(worker)) {
            // The product rolls back and reports a bug: the row had promised that the task can be claimed.
            self.violate(Invariant::OneDispatchPerPendingTask, || {
                format!("the row of task {task} was deleted by a claim, but {refusal}")
            });
            return None;
        }
        let row = &self.tasks[task];
        Some(Claimed {
            task,
            attempt: row.life.attempt,
            expires_at: row.expires_at(),
        })
    }

    /// Without a hand-off row there is nothing to claim; the transition function must say the same by itself.
    fn must_refuse_claim(&mut self, task: usize, worker: WorkerId, now: Micros) {
        let row = &self.tasks[task];
        let (status, event) = (row.life.status(), TaskEvent::Claimed { worker });
        self.coverage.attempt(status, EventKind::Claimed);
        if orchestratum_core::task::transition(&row.life, &row.policy, &event, timestamp(now)).is_ok() {
            self.violate(Invariant::RowIsFoldOfAttempts, || {
                format!("a task that is {status} was claimed")
            });
        }
    }

    pub(crate) fn report(
        &mut self,
        worker: WorkerId,
        task: usize,
        attempt: u32,
        ending: &Ending,
        chance: f64,
        now: Micros,
    ) -> Reported {
        let report = Report {
            attempt,
            ending: ending.clone(),
            chance,
        };
        if self
            .apply(task, &TaskEvent::Reported(report), now, By::Worker(worker))
            .is_ok()
        {
            return Reported::Applied;
        }
        // A miss with our own outcome on record is success: the answer to the first try got lost.
        let recorded = self.tasks[task].attempts.iter().find(|row| row.attempt == attempt);
        match recorded {
            Some(row) if row.worker == Some(worker) && row.outcome == ending.outcome() => {
                self.sometimes(Marker::UnknownReportRecovered);
                Reported::AlreadyRecorded
            }
            recorded => {
                let lost = recorded.is_some_and(|row| row.outcome == AttemptOutcome::Lost);
                if lost {
                    self.sometimes(Marker::ZombieReportRefused);
                }
                if *ending == Ending::Success {
                    self.sometimes(Marker::StaleCompletionRefused);
                }
                Reported::Refused
            }
        }
    }

    pub(crate) fn cancel(&mut self, task: usize, now: Micros) -> Result<TaskStatus, Refusal> {
        self.apply(task, &TaskEvent::CancelRequested { reason: None }, now, By::Server)
    }

    pub(crate) fn retry(&mut self, task: usize, ttl: Micros, now: Micros) -> Result<TaskStatus, Refusal> {
        let event = TaskEvent::RetryRequested { ttl: micros(ttl) };
        let answer = self.apply(task, &event, now, By::Server);
        if answer.is_ok() {
            self.sometimes(Marker::ManualRetry);
        }
        answer
    }

    pub(crate) fn patch(&mut self, task: usize, patch: &LifePatch, now: Micros) -> Result<TaskStatus, Refusal> {
        let answer = self.apply(task, &TaskEvent::Patched(patch.clone()), now, By::Server);
        if answer == Ok(TaskStatus::InProgress) && patch.ttl.is_some() {
            self.sometimes(Marker::DeadlineMovedWhileRunning);
        }
        answer
    }

    /// The read of a sweep. Everything it finds is only a reason to look again under a guard.
    pub(crate) fn sweep_read(&self, may_declare_dead: bool, now: Micros) -> Vec<SweepAction> {
        let mut actions = Vec::new();
        for row in &self.workers {
            if may_declare_dead && !row.dead && row.lease_expires_at <= now {
                actions.push(SweepAction::MarkDead(row.id));
            }
        }
        for (task, row) in self.tasks.iter().enumerate() {
            match row.life.state {
                TaskState::Pending { due_at } => {
                    if row.expires_at() <= now {
                        actions.push(SweepAction::Expire { task });
                    } else if row.rare && due_at.as_micros() + NOT_OFFERED <= now && self.nobody_offers_rare() {
                        actions.push(SweepAction::NotOffered { task });
                    }
                }
                TaskState::InProgress { worker, .. } => {
                    if row.expires_at() + EXPIRY_GRACE <= now {
                        actions.push(SweepAction::Expire { task });
                    } else if self.worker(worker).is_none_or(|holder| holder.dead) {
                        let attempt = row.life.attempt;
                        actions.push(SweepAction::Lose { task, worker, attempt });
                    }
                }
                TaskState::Completed { .. }
                | TaskState::Failed { .. }
                | TaskState::Expired { .. }
                | TaskState::Cancelled { .. } => {}
            }
        }
        actions
    }

    /// The earliest time at which [`Database::sweep_read`] could find something; a pulse before it is a no-op.
    pub(crate) fn next_sweep(&self) -> Micros {
        let workers = self
            .workers
            .iter()
            .filter(|row| !row.dead)
            .map(|row| row.lease_expires_at);
        let tasks = self.tasks.iter().filter_map(|row| match row.life.state {
            TaskState::Pending { due_at } if row.rare && self.nobody_offers_rare() => {
                Some(row.expires_at().min(due_at.as_micros() + NOT_OFFERED))
            }
            TaskState::Pending { .. } => Some(row.expires_at()),
            TaskState::InProgress { worker, .. } => {
                let lost = self.worker(worker).is_none_or(|holder| holder.dead);
                Some(if lost {
                    self.now
                } else {
                    row.expires_at() + EXPIRY_GRACE
                })
            }
            _ => None,
        });
        workers.chain(tasks).min().unwrap_or(Micros::MAX)
    }

    pub(crate) fn nobody_offers_rare(&self) -> bool {
        let mut live = self.workers.iter().filter(|row| !row.dead).peekable();
        live.peek().is_some() && live.all(|row| !row.offers_rare)
    }

    pub(crate) fn sweep_write(&mut self, action: SweepAction, now: Micros) -> bool {
        match action {
            SweepAction::MarkDead(id) => self.mark_dead(id, now),
            SweepAction::Lose { task, worker, attempt } => {
                let event = TaskEvent::WorkerLost { worker, attempt };
                let applied = self.apply(task, &event, now, By::Server).is_ok();
                if !applied {
                    self.sometimes(Marker::RescueLostTheRace);
                }
                applied
            }
            SweepAction::Expire { task } => self.expire(task, now),
            SweepAction::NotOffered { task } => {
                let event = TaskEvent::NameNotOffered { message: String::new() };
                self.apply(task, &event, now, By::Server).is_ok()
            }
        }
    }

    fn mark_dead(&mut self, id: WorkerId, now: Micros) -> bool {
        let blindly = self.planted.is(Mutant::DeathMarkByIdOnly);
        let guard = |row: &&mut WorkerRow| !row.dead && (blindly || row.lease_expires_at <= now);
        let marked = self.worker_mut(id).filter(guard).map(|row| row.dead = true).is_some();
        if marked {
            self.writes += 1;
        } else {
            self.sometimes(Marker::DeathMarkLostTheRace);
        }
        marked
    }

    fn expire(&mut self, task: usize, now: Micros) -> bool {
        let row = &self.tasks[task];
        let running = row.life.status() == TaskStatus::InProgress;
        // The worker goes first: it kills, and then reports by itself.
        if running && row.expires_at() + EXPIRY_GRACE > now {
            self.sometimes(Marker::ExpiryLostTheRace);
            return false;
        }
        let applied = self.apply(task, &TaskEvent::DeadlinePassed, now, By::Server).is_ok();
        self.sometimes(match (applied, running) {
            (true, true) => Marker::ExpiredBySweeper,
            (true, false) => Marker::ExpiredInTheQueue,
            (false, _) => Marker::ExpiryLostTheRace,
        });
        applied
    }

    /// The due rows that may go into the window, first ones first.
    pub(crate) fn feed(&mut self, depth: usize, seen_empty_twice: bool, cursor: &mut u32, now: Micros) -> Vec<u32> {
        let mut ready: Vec<usize> = (0..self.tasks.len())
            .filter(|task| self.dispatches[*task].is_some_and(|row| row.due_at <= now))
            .collect();
        ready.sort_by_key(|task| {
            let due_at = self.dispatches[*task].map(|row| row.due_at);
            (u8::MAX - self.tasks[*task].priority, due_at, *task)
        });
        ready.truncate(WINDOW);
        let by_cursor = self.planted.is(Mutant::OutboxByCursor);
        let mut fed = Vec::new();
        for task in ready {
            let id = self.tasks[task].id;
            let skipped = by_cursor && id <= *cursor;
            if let Some(row) = &mut self.dispatches[task]
                && fed.len() < WINDOW.saturating_sub(depth)
                && (row.publish_at <= now || seen_empty_twice)
                && !skipped
            {
                row.publish_at = now + PUBLISH_AGAIN;
                *cursor = id.max(*cursor);
                fed.push(id);
            }
        }
        if !fed.is_empty() {
            self.writes += 1;
        }
        fed
    }
}
