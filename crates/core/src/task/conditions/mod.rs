//! Conditions of a task: what must hold before it may run, or be made at all.
//!
//! ```text
//!   unique       {by, within_seconds, states}   no task like it is there            or the task that is there is the answer
//!   concurrency  {key, limit}                   a place of its key is free          or it is blocked until one is
//!   rate         {key, limit, per_seconds}      its key has a start left            or it is blocked until it has
//! ```
//!
//! Keys are texts that may hold expressions over the task itself. They are [checked](ConditionsDraft::check) and get their values
//! when the task is made, and stay as they are: an input that is edited later moves no task to another key.

mod bucket;
mod draft;
mod key;
mod target_rate;
mod unique;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use bucket::Bucket;
pub use draft::{ConcurrencyDraft, ConditionsDraft, RateDraft, UniqueDraft};
pub use key::KEY_MAX_CHARACTERS;
pub(super) use key::KnownTask;
pub use target_rate::TargetRate;
pub use unique::Unique;

/// The most places of a concurrency key.
pub const CONCURRENCY_MAX: u16 = 10_000;

/// The most starts of a rate key in its time.
pub const RATE_MAX: u32 = 1_000_000;

/// What must hold of a task. Most have no conditions, which takes no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
}

/// At most `limit` tasks of the key are ready or running at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    pub key: String,
    pub limit: u16,
}

/// Tasks of the key start `limit` times in `per`, and as many at once after a rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub key: String,
    pub limit: u32,
    /// In milliseconds.
    pub per_ms: u64,
}

impl Rate {
    pub const fn per(&self) -> Duration {
        Duration::from_millis(self.per_ms)
    }
}

impl Conditions {
    /// Whether it has to ask before it is ready.
    pub const fn gates(&self) -> bool {
        self.concurrency.is_some() || self.rate.is_some()
    }

    /// The stored form.
    pub fn stored(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always JSON")
    }

    /// # Errors
    /// If the text is not one that [`stored`](Self::stored) made.
    pub fn from_stored(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
