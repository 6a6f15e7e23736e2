//! Schedules: what callers make and change of them, and the one transaction that turns slots into tasks.

use async_trait::async_trait;
use orchestratum_core::schedule::{SchedulePatch, ScheduleSpec, Skip, Standing};
use orchestratum_core::task::{TaskStatus, Violations};
use orchestratum_core::{ScheduleId, Target, TaskId, TaskName, Timestamp};

use crate::{Audit, Error, IdempotencyKey, Ready};

/// A schedule as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub id: ScheduleId,
    pub spec: ScheduleSpec,
    pub standing: Standing,
    pub created_at: Timestamp,
    /// When a caller changed it last.
    pub updated_at: Timestamp,
    /// Of what callers say: what becomes of its slots does not change it.
    pub version: u32,
    /// The newest task it made that is still there, and was it by a trigger.
    pub last_task: Option<LastTask>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastTask {
    pub id: TaskId,
    pub status: TaskStatus,
}

/// A schedule to be stored.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    pub id: ScheduleId,
    pub spec: ScheduleSpec,
    pub idempotency: Option<IdempotencyKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateScheduleOutcome {
    Created,
    /// The key was used before with the same body: this is what it made.
    Replayed {
        id: ScheduleId,
    },
    /// The key was used before with another body. Nothing was stored.
    KeyReused,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ChangeScheduleOutcome {
    /// As it is now. What was so already is not written.
    Done(Box<Schedule>),
    /// With the change it would break rules.
    Invalid(Violations),
    VersionMismatch {
        current: u32,
    },
    NotFound,
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulePage {
    pub items: Vec<Schedule>,
    /// Ask for schedules before this id to go on.
    pub next: Option<ScheduleId>,
}

/// What a pass over the schedules that were due has done, in one commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fired {
    /// How many schedules were looked at.
    pub looked: usize,
    /// Some that are due were left for the next pass.
    pub more: bool,
    pub tasks: Vec<FiredTask>,
    /// Those of them that are ready, and others that became so with them.
    pub ready: Vec<Ready>,
    pub skipped: Vec<(ScheduleId, Skip)>,
    /// Tasks that are to be cancelled, since a later slot takes their place.
    pub cancel: Vec<TaskId>,
    /// Slots of these wait for the ends of these tasks.
    pub waiting: Vec<(ScheduleId, Vec<TaskId>)>,
}

/// A task that was made for a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiredTask {
    pub schedule: ScheduleId,
    pub slot: Timestamp,
    pub task: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub due_at: Timestamp,
}

#[async_trait]
pub trait ScheduleStore: Send + Sync {
    async fn create_schedule(
        &self,
        schedule: &NewSchedule,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<CreateScheduleOutcome, Error>;

    async fn schedule(&self, schedule: ScheduleId) -> Result<Option<Schedule>, Error>;

    /// `before` is the `next` of the page before. A page may end before `limit`: see [`PAGE_BYTES`](crate::PAGE_BYTES).
    async fn schedules(
        &self,
        name: Option<&str>,
        before: Option<ScheduleId>,
        limit: usize,
    ) -> Result<SchedulePage, Error>;

    /// Changes it, if it still has `expected_version` where one is given.
    async fn change_schedule(
        &self,
        schedule: ScheduleId,
        patch: &SchedulePatch,
        expected_version: Option<u32>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<ChangeScheduleOutcome, Error>;

    /// Its tasks stay. `false` if there is none.
    async fn delete_schedule(&self, schedule: ScheduleId, audit: &Audit, now: Timestamp) -> Result<bool, Error>;

    /// Looks at schedules whose time has come, at most `limit`: their tasks and where they stand then are written together. Any
    /// number of processes may do so at the same time. `seed` is what the ids of the tasks are made from: random.
    async fn fire_schedules(&self, limit: usize, seed: u128, now: Timestamp) -> Result<Fired, Error>;

    /// Those whose time has come, for whoever looks at them one by one.
    async fn due_schedules(&self, limit: usize, now: Timestamp) -> Result<Vec<ScheduleId>, Error>;

    /// Looks at one, if its time has come.
    async fn fire_schedule(&self, schedule: ScheduleId, seed: u128, now: Timestamp) -> Result<Fired, Error>;

    /// Lets one that could not be looked at wait until then, and say so.
    async fn put_off_schedule(
        &self,
        schedule: ScheduleId,
        until: Timestamp,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// A task is over that slots of these waited for: their time has come.
    async fn wake_schedules(&self, schedules: &[ScheduleId], now: Timestamp) -> Result<(), Error>;
}
