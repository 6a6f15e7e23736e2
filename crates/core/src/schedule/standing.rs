//! Where a schedule stands.

use std::fmt;

use crate::time::Timestamp;

/// What has come of a schedule so far, and when it is looked at again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The first slot that was not decided yet; `None` if none will come, or while it is paused.
    pub next_slot: Option<Timestamp>,
    /// Slots that run once the task before them is over, oldest first.
    pub waiting: Vec<Timestamp>,
    /// When it is to be looked at; `None` if there is nothing to wait for.
    pub wake_at: Option<Timestamp>,
    /// The newest slot that was run. No slot up to it is ever run again.
    pub last_slot: Option<Timestamp>,
    /// The newest slot that was not run.
    pub last_skip: Option<Skip>,
}

/// A slot that has no task, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    pub slot: Timestamp,
    pub reason: SkipReason,
    /// Of a task that was not made: what stands against it.
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Nobody looked when it came, and the misfire policy does not run it.
    Missed = 0,
    /// A task of the schedule was not over.
    Overlap = 1,
    /// Too many slots waited already.
    QueueFull = 2,
    /// A later slot took its place before it could begin.
    Replaced = 3,
    /// It waited when the schedule was paused, or its times were changed.
    Changed = 4,
    /// The task that it describes breaks a rule.
    Unmade = 5,
    /// Its task is to be unique, and one like it was there.
    Met = 6,
    /// What it takes failed, and is tried again.
    Failed = 7,
}

impl SkipReason {
    pub const ALL: [Self; 8] = [
        Self::Missed,
        Self::Overlap,
        Self::QueueFull,
        Self::Replaced,
        Self::Changed,
        Self::Unmade,
        Self::Met,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Overlap => "overlap",
            Self::QueueFull => "queue_full",
            Self::Replaced => "replaced",
            Self::Changed => "changed",
            Self::Unmade => "unmade",
            Self::Met => "met",
            Self::Failed => "failed",
        }
    }

    /// The number in the database.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// `None` if no reason has this number: the row was written by a newer version, or is damaged.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Skip {
    pub(super) fn new(slot: Timestamp, reason: SkipReason) -> Self {
        Self {
            slot,
            reason,
            detail: None,
        }
    }
}
