//! Tasks: creating, claiming, changing and reading them.
//!
//! Every write is guarded and all of a call's writes commit together. A crash before a call returns leaves either all
//! of it or nothing; when the answer to a COMMIT is lost, the call repeats the same guarded statement by itself and
//! answers what it finds, so a caller never sees an unknown outcome unless the database stays away.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::task::{
    AttemptOutcome, CheckedPatch, FollowUpPlace, Progress, Refusal, TaskError, TaskEvent, TaskLife, TaskSpec,
    TaskStatus,
};
use orchestratum_core::{GroupId, JsonText, Origin, SagaId, ScheduleId, Target, TaskId, TaskName, Timestamp, WorkerId};

use crate::{Error, LogChunk, Ready};

/// Who sends the message for a task that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// The caller, right after the commit: the row says that no other message is due for [`PUBLISH_LEASE`].
    ///
    /// [`PUBLISH_LEASE`]: crate::PUBLISH_LEASE
    ByCaller,
    /// The feeder, when the queue has room.
    ByFeeder,
}

/// A task to be stored.
#[derive(Debug, Clone)]
pub struct NewTask {
    pub spec: TaskSpec,
    pub life: TaskLife,
    pub announce: Announce,
    /// SHA-256 of the request, kept where the caller chose the id: the same id and body again is the same task.
    pub request_hash: Option<[u8; 32]>,
    pub origin: Origin,
}

/// The `Idempotency-Key` of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is: two callers may use the same text.
    pub scope: String,
    pub key: String,
    pub body_hash: [u8; 32],
}

/// Tasks that stand or fall together.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    pub tasks: Vec<NewTask>,
    pub idempotency: Option<IdempotencyKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateOutcome {
    /// They are stored, by this call or by one of ours whose answer was lost.
    Created,
    /// The same, where some of them have conditions.
    Admitted(Admission),
    /// The key was used before with the same body: these are the tasks it made.
    Replayed { ids: Vec<TaskId> },
    /// The key was used before with another body. Nothing was stored.
    KeyReused,
    /// A task with this caller-chosen id exists and came from the same body. Nothing was stored.
    Exists { id: TaskId },
    /// A task with this id exists and is another one. Nothing was stored.
    IdTaken { id: TaskId },
}

/// What became of tasks with conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// By their places in the request: those that are not stored, and the tasks like them that are there.
    pub met: Vec<(usize, TaskId)>,
    /// Those that are ready. The others wait for their time, a place, or a start.
    pub ready: Vec<Ready>,
}

/// A worker asks for tasks.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    pub worker: WorkerId,
    /// The tasks its messages named; they come first.
    pub named: Vec<TaskId>,
    pub targets: Vec<Target>,
    pub names: Vec<TaskName>,
    /// The most it takes, named ones included.
    pub limit: usize,
    /// Whether other ready tasks take the room that the named ones leave. Without them it is a much cheaper statement.
    pub fill_up: bool,
}

/// What a worker needs to run an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedTask {
    pub id: TaskId,
    /// The fence of this attempt.
    pub attempt: u32,
    pub run: u32,
    pub name: TaskName,
    pub target: Target,
    pub input: JsonText,
    pub limits: Option<JsonText>,
    pub timeout: Option<std::time::Duration>,
    pub expires_at: Timestamp,
    pub started_at: Timestamp,
    pub origin: Origin,
    pub followed_by: FollowedBy,
    /// Of a task that began with the end of another one: its worker brings it back with the report.
    pub known: Option<KnownTask>,
}

/// A running task as it was written: its end need not read it. Whatever has changed it since has changed its version, which is
/// the guard of that end.
#[derive(Debug, Clone)]
pub struct KnownTask(pub(crate) Arc<crate::decide::Stored>);

impl PartialEq for KnownTask {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id && self.0.life == other.0.life
    }
}

/// What comes after a task that succeeds, as far as its worker may go on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowedBy {
    Nothing,
    /// Its lists of follow-ups are not all empty.
    FollowUps,
    /// Its saga looks at its end.
    Saga {
        priority: u8,
    },
}

impl FollowedBy {
    /// `saga_priority`: its own, if it is a task of a saga.
    pub(crate) fn of(has_follow_ups: bool, saga_priority: Option<u8>) -> Self {
        match saga_priority {
            Some(priority) => Self::Saga { priority },
            None if has_follow_ups => Self::FollowUps,
            None => Self::Nothing,
        }
    }
}

/// What an attempt leaves beside its outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    pub output: Option<JsonText>,
    pub exit_code: Option<i32>,
    pub peak_memory_bytes: Option<u64>,
    /// What it told last; without it, what was appended before stays.
    pub progress: Option<Progress>,
    /// All that was not appended before. A chunk that was, with the same number, may be among them: it stays as it is.
    pub logs: Vec<LogChunk>,
    /// What comes after a success beside what its task lists, checked as that was.
    pub follow_ups: Vec<JsonText>,
}

impl Evidence {
    /// How large it is, as far as that may be much.
    pub fn bytes(&self) -> usize {
        let logs: usize = self.logs.iter().map(|chunk| chunk.text.len()).sum();
        let follow_ups: usize = self.follow_ups.iter().map(JsonText::len).sum();
        self.output.as_ref().map_or(0, JsonText::len) + logs + follow_ups
    }
}

/// Who changed something, for the audit (`task_changes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The public id of the API key, or `None` for the system itself.
    pub actor: Option<String>,
    /// An imperative word: `cancel`, `patch`, `retry`, `delete`, `pause`, `resume`.
    pub action: &'static str,
    pub detail: Option<String>,
}

impl Audit {
    /// With the name of what was changed, where it does not say more.
    pub(crate) fn about(&self, name: &str) -> Self {
        Self {
            detail: Some(self.detail.clone().unwrap_or_else(|| name.to_owned())),
            ..self.clone()
        }
    }
}

/// A worker's offer, of what follows a task that it has ended to take the first that it serves without a claim of its own.
///
/// That is then written as running there, where the lease of the worker is live and the target is not paused. One
/// whose priority is below its parent's has to wait its turn with the others. It is an offer: a store may make all of them wait.
#[derive(Debug, Clone)]
pub struct Takes {
    pub worker: WorkerId,
    pub targets: Arc<[Target]>,
    /// In their order.
    pub names: Arc<[TaskName]>,
    /// The task that has ended, if it began as what follows another one.
    pub known: Option<KnownTask>,
}

/// One event for one task.
#[derive(Debug, Clone)]
pub struct Change {
    pub task: TaskId,
    pub event: TaskEvent,
    /// With a report.
    pub evidence: Evidence,
    /// With a patch, and with a retry that edits.
    pub patch: Option<CheckedPatch>,
    /// Refuse unless the task still has this version (`If-Match`).
    pub expected_version: Option<u32>,
    pub audit: Option<Audit>,
    /// Where the ids of its follow-ups come from: random, since an id that somebody guesses can be taken.
    pub seed: u128,
    /// With a report of success: what its worker goes on with at once.
    pub takes: Option<Takes>,
}

impl Change {
    pub fn new(task: TaskId, event: TaskEvent) -> Self {
        Self {
            task,
            event,
            evidence: Evidence::default(),
            patch: None,
            expected_version: None,
            audit: None,
            seed: 0,
            takes: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all outcomes are the large one")]
pub enum ChangeOutcome {
    Done(Changed),
    /// The very same report was recorded before (its answer was lost): nothing changed, and nothing is wrong.
    AlreadyReported {
        /// Whose task is over with it. Whoever recorded that may have died before the saga looked at it.
        saga: Option<SagaId>,
    },
    Refused {
        refusal: Refusal,
        status: TaskStatus,
    },
    VersionMismatch {
        current: u32,
    },
    NotFound,
}

/// A task after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    pub task: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub before: TaskStatus,
    pub life: TaskLife,
    /// When the newest attempt began.
    pub started_at: Option<Timestamp>,
    /// What was written after it, in the same commit.
    pub followed: Followed,
    /// Tasks that became ready with it or with another change of the same call: they waited for a place or a start, or are
    /// follow-ups that got one.
    pub admitted: Vec<Ready>,
    /// Of which it is a member: its end is to be counted.
    pub group: Option<GroupId>,
    /// Of which it is a part: its end is to be looked at.
    pub saga: Option<SagaId>,
}

/// The follow-ups of a run that ended with a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Followed {
    pub tasks: Vec<FollowUpTask>,
    pub missing: Vec<MissingFollowUp>,
}

/// A task that was written after its parent.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowUpTask {
    pub task: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub place: FollowUpPlace,
    pub due_at: Timestamp,
    /// It needs a place or a start before it is ready: if it got one, it is among the [admitted](Changed::admitted).
    pub asks: bool,
    /// The worker that reported the end of its parent has it already.
    pub claimed: Option<Box<ClaimedTask>>,
}

/// A follow-up that was due and is no task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFollowUp {
    pub parent: TaskId,
    pub place: FollowUpPlace,
    /// What was to run, as far as that is known.
    pub name: String,
    pub cause: MissingCause,
    /// Why it could not be made.
    pub reason: String,
    pub since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingCause {
    /// An expression had no value, or what came of them broke a rule.
    Unmade = 0,
    /// Somebody deleted it, and its parent is still there.
    Deleted = 1,
    /// It is unique, and met a task like it.
    Met = 2,
}

impl MissingCause {
    /// The number in the database.
    pub(crate) const fn code(self) -> i16 {
        self as i16
    }

    pub(crate) const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Unmade),
            1 => Some(Self::Deleted),
            2 => Some(Self::Met),
            _ => None,
        }
    }
}

/// What came after some tasks, in the order of their parents, runs, edges and places.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Children {
    pub tasks: Vec<Task>,
    pub missing: Vec<MissingFollowUp>,
    /// There is more.
    pub truncated: bool,
}

/// A task as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub spec: TaskSpec,
    pub life: TaskLife,
    pub output: Option<JsonText>,
    /// The worker of the newest attempt.
    pub worker: Option<WorkerId>,
    /// When the newest attempt began.
    pub started_at: Option<Timestamp>,
    /// What the newest attempt told last.
    pub progress: Option<Progress>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub attempt: u32,
    pub run: u32,
    pub worker: Option<WorkerId>,
    pub outcome: AttemptOutcome,
    pub error: Option<TaskError>,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub exit_code: Option<i32>,
    pub peak_memory_bytes: Option<u64>,
}

/// Ended attempts, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptPage {
    pub items: Vec<Attempt>,
    /// Ask for attempts after this number to go on.
    pub next: Option<u32>,
}

/// Which tasks a list shows. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    pub status: Option<TaskStatus>,
    pub name: Option<TaskName>,
    pub target: Option<Target>,
    pub parent_id: Option<TaskId>,
    pub schedule_id: Option<ScheduleId>,
    pub saga_id: Option<SagaId>,
    pub labels: BTreeMap<String, String>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
}

/// One page of a list, newest first.
#[derive(Debug, Clone)]
pub struct TaskPage {
    pub items: Vec<Task>,
    /// Ask for tasks before this id to go on.
    pub next: Option<TaskId>,
    /// The filter has no index: only the newest [`UNINDEXED_SCAN`](crate::UNINDEXED_SCAN) tasks were looked at.
    pub truncated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    Deleted,
    NotTerminal { status: TaskStatus },
    NotFound,
}

/// What stands between a pending task and a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    pub target: Target,
    pub name: TaskName,
    pub due_at: Timestamp,
    pub publish_at: Timestamp,
    pub expires_at: Timestamp,
    /// Waits for `due_at`; the loop for due tasks makes it ready.
    pub delayed: bool,
    /// Is due and waits for a place of its concurrency key or a start of its rate key.
    pub blocked: bool,
}

/// What a task that is due waits for, beside a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWait {
    Place {
        key: String,
        limit: u64,
        held: u64,
        /// Some of those that hold one, the oldest first.
        holders: Vec<TaskId>,
        /// How many get one before it, [`KEY_LINE_MAX`](crate::KEY_LINE_MAX) at most.
        ahead: u64,
    },
    Start {
        key: String,
        limit: u64,
        per: std::time::Duration,
        /// When somebody may start next, past or ahead.
        opens_at: Timestamp,
        ahead: u64,
    },
}

#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Stores tasks and their dispatch rows: one answer a request, in order.
    async fn create(&self, requests: &[CreateRequest], now: Timestamp) -> Result<Vec<CreateOutcome>, Error>;

    /// Hands ready tasks to a live worker; deleting the dispatch row is the claim. Those of targets with a rate take their starts
    /// with it, as far as there are some. A crash after the commit leaves
    /// tasks that the next renewal of the worker's lease lists, or that are rescued when the lease ends.
    async fn claim(&self, request: &ClaimRequest, now: Timestamp) -> Result<Vec<ClaimedTask>, Error>;

    /// Puts events to tasks: locks the rows in one order, asks [`orchestratum_core::task::transition`], writes what it
    /// answers. One outcome a change, in order; a task may appear more than once.
    async fn apply(&self, changes: &[Change], now: Timestamp) -> Result<Vec<ChangeOutcome>, Error>;

    /// Deletes a task that is over, with its attempts and logs.
    async fn delete(&self, task: TaskId, audit: &Audit, now: Timestamp) -> Result<DeleteOutcome, Error>;

    async fn task(&self, task: TaskId) -> Result<Option<Task>, Error>;

    /// In the order of `ids`; those that do not exist are left out, and those that are too much: see
    /// [`BATCH_BYTES`](crate::BATCH_BYTES).
    async fn tasks(&self, ids: &[TaskId]) -> Result<Vec<Task>, Error>;

    async fn statuses(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, TaskStatus)>, Error>;

    /// `before` is the `next` of the page before. A page may end before `limit`: see [`PAGE_BYTES`](crate::PAGE_BYTES).
    async fn list(&self, filter: &TaskFilter, before: Option<TaskId>, limit: usize) -> Result<TaskPage, Error>;

    /// The tasks whose parents these are, at most `limit` and of at most so many bytes of texts; the first is always there. At
    /// most `limit` missing ones beside them.
    async fn children(&self, parents: &[TaskId], limit: usize, bytes: usize) -> Result<Children, Error>;

    /// Ended attempts with a number above `after`, which is 0 or the `next` of the page before. A page has at most
    /// [`ATTEMPTS_PAGE`](crate::ATTEMPTS_PAGE), and may end earlier: see [`PAGE_BYTES`](crate::PAGE_BYTES). The open one
    /// is read from the task.
    async fn attempts(&self, task: TaskId, after: u32) -> Result<AttemptPage, Error>;

    async fn dispatch(&self, task: TaskId) -> Result<Option<Dispatch>, Error>;

    /// What a [blocked](Dispatch::blocked) task waits for; `None` for any other.
    async fn key_wait(&self, task: TaskId) -> Result<Option<KeyWait>, Error>;

    /// How many tasks have each status; every status has an entry. Counting stops after `most` of each status, and after
    /// `most` of all: there may be more completed ones then, which no index tells from the rest.
    async fn counts(&self, most: usize) -> Result<BTreeMap<TaskStatus, u64>, Error>;
}
