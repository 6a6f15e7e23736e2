//! What can happen to a task.

use std::time::Duration;

use crate::identity::WorkerId;
use crate::task::error_code::ErrorCode;
use crate::task::status::AttemptOutcome;
use crate::time::Timestamp;

/// What can happen to a task after it was created.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskEvent {
    /// A worker took it.
    Claimed { worker: WorkerId },
    /// The worker says how its attempt ended.
    Reported(Report),
    /// The lease of the worker ran out while it held this attempt.
    WorkerLost { worker: WorkerId, attempt: u32 },
    /// The sweeper saw the time-to-live pass.
    DeadlinePassed,
    /// The sweeper saw that no worker offers the name of the task.
    NameNotOffered { message: String },
    /// A caller wants it stopped.
    CancelRequested { reason: Option<String> },
    /// A caller wants another run.
    RetryRequested { ttl: Duration },
    /// A caller changed it.
    Patched(LifePatch),
}

/// How an attempt ended, as its worker tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The fence: a report with another one is refused.
    pub attempt: u32,
    pub ending: Ending,
    /// A number in `[0, 1)` that decides the jitter of a back-off.
    pub chance: f64,
}

/// The ways an attempt can end by its worker's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Success,
    Failed {
        message: String,
        retryable: bool,
        /// For whoever decides by it what comes next.
        code: Option<ErrorCode>,
    },
    /// The handler succeeded, but its output cannot be stored. Never retried: it would be the same again.
    OutputNotStorable {
        message: String,
    },
    /// The code is none that its compiler takes. Never retried: it would be the same again.
    CompileError {
        message: String,
    },
    /// The worker has no such environment as the task asks for. Never retried: workers of a target are meant to be alike.
    UnknownEnvironment {
        message: String,
    },
    /// The task asks for a limit or for the network, which its worker gives to none. Never retried, likewise.
    NotGranted {
        message: String,
    },
    OutOfMemory {
        message: String,
    },
    /// No handler of that name.
    NotFound {
        message: String,
    },
    /// The timeout of the attempt passed; the processes are dead.
    TimedOut {
        message: String,
    },
    /// The time-to-live of the task passed; the processes are dead.
    Expired {
        message: String,
    },
    /// Stopped because a caller asked for it, or because the handler itself said so.
    Cancelled {
        message: String,
    },
    /// Handed back unfinished.
    Released {
        message: String,
    },
}

impl Ending {
    pub const fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::Success => AttemptOutcome::Success,
            Self::Failed { .. }
            | Self::OutputNotStorable { .. }
            | Self::CompileError { .. }
            | Self::UnknownEnvironment { .. }
            | Self::NotGranted { .. } => AttemptOutcome::Failed,
            Self::OutOfMemory { .. } => AttemptOutcome::OutOfMemory,
            Self::NotFound { .. } => AttemptOutcome::NotFound,
            Self::TimedOut { .. } | Self::Expired { .. } => AttemptOutcome::TimedOut,
            Self::Cancelled { .. } => AttemptOutcome::Cancelled,
            Self::Released { .. } => AttemptOutcome::Released,
        }
    }

    /// For whoever makes it shorter.
    pub fn message_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Success => None,
            Self::Failed { message, .. }
            | Self::OutputNotStorable { message }
            | Self::CompileError { message }
            | Self::UnknownEnvironment { message }
            | Self::NotGranted { message }
            | Self::OutOfMemory { message }
            | Self::NotFound { message }
            | Self::TimedOut { message }
            | Self::Expired { message }
            | Self::Cancelled { message }
            | Self::Released { message } => Some(message),
        }
    }
}

/// The part of a change by a caller that concerns the life of the task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LifePatch {
    /// Counted from `scheduled_at`, as at creation.
    pub ttl: Option<Duration>,
    pub max_retries: Option<u16>,
    pub scheduled_at: Option<Timestamp>,
    /// The change touches something that is fixed once an attempt has begun (input, target, priority, timeout).
    pub touches_what_runs: bool,
}
