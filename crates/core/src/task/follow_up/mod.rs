//! Follow-ups: the tasks that come after a task, by how it ends.
//!
//! ```text
//!   on_success: [ … ]   Completed ─┐
//!   on_failure: [ … ]   Failed ────┤   one task for each entry, written with the change that ends the run,
//!   on_cancel:  [ … ]   Cancelled ─┤   exactly once by (parent, run, edge, index)
//!   on_expire:  [ … ]   Expired ───┘
//! ```
//!
//! An entry is what a create takes, without `id`, follow-ups of its own included: so a cycle cannot be written. Where its
//! texts hold expressions, they see how the parent ended. All of it is [checked](FollowUps::check) when the parent is created;
//! what depends on the values is checked again when it is [due](FollowUps::due). A follow-up that is due and cannot be made
//! changes nothing for its parent and for the others: it is recorded as missing, with the reason.

mod body;
mod check;
mod due;
mod render;
mod stand_in;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use body::Entry;
pub use body::{FollowUpList, FollowUpsOrFailure};
pub(crate) use check::check_entry;
pub use check::{FOLLOW_UPS_DEPTH_MAX, FOLLOW_UPS_MAX};
pub(crate) use due::in_a_line;
pub use due::{Due, FOLLOW_UPS_BYTES_MAX, ParentEnd, Unmade};
pub(crate) use render::Rendered;
pub use stand_in::stand_in;

use crate::JsonText;
use crate::expression::Variable;
use crate::task::status::TaskStatus;

/// What the expressions of a follow-up see of its parent.
const VARIABLES: [Variable<'static>; 4] = [
    Variable::any("output"),
    Variable::with_fields("error", &["kind", "message", "code"]),
    Variable::any("input"),
    Variable::with_fields(
        "task",
        &[
            "id",
            "name",
            "target",
            "description",
            "labels",
            "priority",
            "run",
            "attempt",
            "status",
            "parent_id",
            "created_at",
            "scheduled_at",
            "started_at",
            "finished_at",
        ],
    ),
];

/// How a run ended, as far as it has follow-ups of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    Success = 0,
    Failure = 1,
    Cancel = 2,
    Expire = 3,
}

impl Edge {
    pub const ALL: [Self; 4] = [Self::Success, Self::Failure, Self::Cancel, Self::Expire];

    /// The field of a task that lists these follow-ups.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "on_success",
            Self::Failure => "on_failure",
            Self::Cancel => "on_cancel",
            Self::Expire => "on_expire",
        }
    }

    /// The number in the database.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// `None` if no edge has this number: the row was written by a newer version, or is damaged.
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::Failure),
            2 => Some(Self::Cancel),
            3 => Some(Self::Expire),
            _ => None,
        }
    }

    /// That of a run that is over.
    pub const fn of(status: TaskStatus) -> Option<Self> {
        match status {
            TaskStatus::Pending | TaskStatus::InProgress => None,
            TaskStatus::Completed => Some(Self::Success),
            TaskStatus::Failed => Some(Self::Failure),
            TaskStatus::Cancelled => Some(Self::Cancel),
            TaskStatus::Expired => Some(Self::Expire),
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which follow-up of its parent a task is: with the parent, that is what exists at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowUpPlace {
    /// The run of the parent.
    pub run: u32,
    pub edge: Edge,
    /// In the list of its edge; what came with the report of a success counts on behind it.
    pub index: u16,
}

/// The lists of follow-ups of a task, each entry as its caller wrote it. Most tasks have none, which takes no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowUps(Option<Arc<Lists>>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lists {
    #[serde(rename = "on_success", default, skip_serializing_if = "Vec::is_empty")]
    success: Vec<JsonText>,
    #[serde(rename = "on_failure", default, skip_serializing_if = "Vec::is_empty")]
    failure: Vec<JsonText>,
    #[serde(rename = "on_cancel", default, skip_serializing_if = "Vec::is_empty")]
    cancel: Vec<JsonText>,
    #[serde(rename = "on_expire", default, skip_serializing_if = "Vec::is_empty")]
    expire: Vec<JsonText>,
}

impl FollowUps {
    /// In the order of [`Edge::ALL`].
    pub fn new([success, failure, cancel, expire]: [Vec<JsonText>; 4]) -> Self {
        let lists = Lists {
            success,
            failure,
            cancel,
            expire,
        };
        Self((lists != Lists::default()).then(|| Arc::new(lists)))
    }

    /// Those that come after a success, and no others.
    pub fn on_success(list: Vec<JsonText>) -> Self {
        Self::new([list, Vec::new(), Vec::new(), Vec::new()])
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The list of an edge.
    pub fn of(&self, edge: Edge) -> &[JsonText] {
        let Some(lists) = &self.0 else { return &[] };
        match edge {
            Edge::Success => &lists.success,
            Edge::Failure => &lists.failure,
            Edge::Cancel => &lists.cancel,
            Edge::Expire => &lists.expire,
        }
    }

    /// How large they are together.
    pub fn bytes(&self) -> usize {
        let lists = Edge::ALL.into_iter().flat_map(|edge| self.of(edge));
        lists.map(JsonText::len).sum()
    }

    /// The stored form; `None` where there are none.
    pub fn stored(&self) -> Option<String> {
        let lists = self.0.as_deref()?;
        Some(serde_json::to_string(lists).expect("lists of JSON are always JSON"))
    }

    /// # Errors
    /// If the text is not one that [`stored`](Self::stored) made.
    pub fn from_stored(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The stored form, with no list where there are none.
impl Serialize for FollowUps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_deref() {
            Some(lists) => lists.serialize(serializer),
            None => Lists::default().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FollowUps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lists = Lists::deserialize(deserializer)?;
        Ok(Self((lists != Lists::default()).then(|| Arc::new(lists))))
    }
}
