//! Groups: many tasks that begin together, and one that comes after them all.
//!
//! ```text
//!   Running ──all members over──► Completed   on_complete
//!      ├─ a member without success, policy `fail` ─► Failing ──all over──► Failed   on_failure
//!      └─ a caller cancels it ────────────────────► Cancelling ─all over─► Cancelled
//! ```
//!
//! [`GroupLife::moved`] is the one function that decides where a group stands. What it counts comes from the changes of its
//! members, as [`GroupEnds`]. A group that is over stays as it ended, whatever its members do afterwards.

mod check;
mod join;
mod life;

pub use check::{GroupDraft, MEMBERS_MAX, Members};
pub use join::{GroupEnd, MemberEnd};
pub use life::{GroupEnds, GroupLife};

use serde::{Deserialize, Serialize};

use crate::JsonText;
use crate::identity::GroupId;
use crate::task::status::coded;
use crate::time::Timestamp;

coded! {
    /// Where a group stands.
    GroupStatus {
        Running = 0,
        /// A member did not succeed: the others are being cancelled.
        Failing = 1,
        /// A caller cancelled it: its members are being cancelled.
        Cancelling = 2,
        Completed = 3,
        Failed = 4,
        Cancelled = 5,
    }
}

impl GroupStatus {
    /// Whether all members were over. Nothing leaves such a status.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Running | Self::Failing | Self::Cancelling => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }

    /// Whether the members that are left are being cancelled.
    pub const fn is_stopping(self) -> bool {
        match self {
            Self::Failing | Self::Cancelling => true,
            Self::Running | Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// What a member that does not succeed means for the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupPolicy {
    /// They are cancelled, and the group fails.
    #[default]
    Fail = 0,
    /// Nothing: what comes after the group sees who failed.
    Continue = 1,
}

impl GroupPolicy {
    pub const ALL: [Self; 2] = [Self::Fail, Self::Continue];

    /// The wire spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Continue => "continue",
        }
    }

    /// The number in the database.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// `None` if no policy has this number: the row was written by a newer version, or is damaged.
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Fail),
            1 => Some(Self::Continue),
            _ => None,
        }
    }
}

/// Which member of its group a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupPlace {
    pub group: GroupId,
    /// From 0, in the order of the request.
    pub index: u16,
}

/// The part of a group that its life does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    pub id: GroupId,
    pub name: Option<String>,
    pub policy: GroupPolicy,
    /// What comes after it, as its caller wrote it.
    pub on_complete: Option<JsonText>,
    /// What comes after it, if it failed.
    pub on_failure: Option<JsonText>,
    /// How many members it has.
    pub size: u16,
    pub created_at: Timestamp,
}

impl GroupSpec {
    /// What comes after it, if it ended so.
    pub fn follow_up(&self, status: GroupStatus) -> Option<&JsonText> {
        match status {
            GroupStatus::Completed => self.on_complete.as_ref(),
            GroupStatus::Failed => self.on_failure.as_ref(),
            GroupStatus::Running | GroupStatus::Failing | GroupStatus::Cancelling | GroupStatus::Cancelled => None,
        }
    }
}
