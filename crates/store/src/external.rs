//! External workers: they claim over HTTP, and hold each task by a lease of its own.
//!
//! A claim writes a row beside each task, and whatever ends the attempt leaves that row alone: the sweep takes it when its
//! lease is over. So the end of an attempt is the same statement whoever ran it.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::task::Progress;
use orchestratum_core::{JsonText, RequestId, Target, TaskId, TaskName, Timestamp, WorkerId};

use crate::{ClaimedTask, Error, Registration};

/// For how long an external worker counts as live after its last word and the end of its last lease.
pub const EXTERNAL_SILENCE: Duration = Duration::from_secs(60);

/// An external worker asks for tasks.
#[derive(Debug, Clone)]
pub struct ExternalClaim {
    /// What it offers. It is registered under the id only if it is not there already; `lease` is for how long it counts as
    /// live at least.
    pub registration: Registration,
    /// The public id of the API key that it claims with.
    pub key_id: String,
    /// A hash of the key, the name, and what is offered: whoever claims with the same is the same worker.
    pub offer: [u8; 32],
    /// The most live workers of one key.
    pub workers_of_key: usize,
    /// The same claim again has the same tasks, as far as they are still held.
    pub request_id: Option<RequestId>,
    pub limit: usize,
    /// How large their inputs may be together; the first is always given.
    pub bytes: usize,
    /// Of each task.
    pub lease: Duration,
    /// How long past its timeout an attempt is left to its worker.
    pub grace: Duration,
}

#[derive(Debug, Clone)]
pub enum ExternallyClaimed {
    Tasks {
        worker: WorkerId,
        tasks: Vec<ExternalTask>,
        /// They were claimed before, by the same claim.
        repeated: bool,
    },
    /// The key has as many live workers as it may have. Nothing was claimed.
    TooManyWorkers,
}

#[derive(Debug, Clone)]
pub struct ExternalTask {
    pub task: ClaimedTask,
    pub lease_expires_at: Timestamp,
    /// What an earlier attempt of the run kept.
    pub checkpoint: Option<JsonText>,
}

/// An external worker is still at it.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    pub task: TaskId,
    pub attempt: u32,
    /// Without it, what was told before stays; likewise the checkpoint.
    pub progress: Option<Progress>,
    pub checkpoint: Option<JsonText>,
}

/// The answer to a heartbeat of an attempt that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beaten {
    pub cancel_requested: bool,
    /// The deadline of the task.
    pub expires_at: Timestamp,
    pub started_at: Timestamp,
    pub timeout: Option<Duration>,
    pub lease_expires_at: Timestamp,
}

/// Who made an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptHolder {
    pub task: TaskId,
    pub attempt: u32,
    /// The newest attempt of the task.
    pub newest: u32,
    /// The API key of the external worker that made it, if one did.
    pub key_id: Option<String>,
    /// Whoever made it is long gone, so that the attempt is over.
    pub is_forgotten: bool,
}

/// An attempt whose lease is over while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedLease {
    pub task: TaskId,
    pub worker: WorkerId,
    pub attempt: u32,
    /// It is over because the timeout of the attempt has passed, and not for want of heartbeats.
    pub timed_out: bool,
}

/// Tasks of a name at a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offer {
    pub target: Target,
    pub name: TaskName,
}

#[async_trait]
pub trait ExternalStore: Send + Sync {
    /// Hands ready tasks to an external worker, which it registers or keeps alive.
    async fn claim_external(&self, claim: &ExternalClaim, now: Timestamp) -> Result<ExternallyClaimed, Error>;

    /// Extends the lease of an attempt, and keeps what it tells. `None` if it is over, or no external worker holds it.
    async fn heartbeat(&self, heartbeat: &Heartbeat, now: Timestamp) -> Result<Option<Beaten>, Error>;

    /// Who made these attempts; of tasks that do not exist there is no answer.
    async fn holders(&self, attempts: &[(TaskId, u32)]) -> Result<Vec<AttemptHolder>, Error>;

    /// Of these offers those with ready tasks that may be claimed, and how many there are, counted up to `most`.
    async fn claimable(&self, offers: &[Offer], most: usize, now: Timestamp) -> Result<Vec<(Offer, usize)>, Error>;

    /// Attempts that run although their leases are over, those that ended first before others.
    async fn ended_leases(&self, now: Timestamp, limit: usize) -> Result<Vec<EndedLease>, Error>;

    /// Deletes what is left of claims whose leases and attempts are over, with the checkpoints of tasks that are over.
    async fn purge_claims(&self, now: Timestamp, limit: usize) -> Result<u64, Error>;
}
