//! API keys: `orch_<public id>_<secret><checksum>`.
//!
//! The public id names the key in logs and lists and is how its row is found. Of the secret, 238 random bits, only an
//! HMAC-SHA-256 with the installation's pepper is stored: there is nothing to guess, so nothing slow is needed. The
//! checksum tells a mistyped key from a wrong one without a question to the database.

mod authenticate;
mod create;
mod list;
mod revoke;
mod text;

pub(crate) use authenticate::KeyCache;
pub use authenticate::{AuthenticationError, Identity};
pub use create::{CreateKey, CreatedKey};
pub use text::KeyText;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    #[serde(rename = "tasks:read")]
    TasksRead,
    #[serde(rename = "tasks:write")]
    TasksWrite,
    #[serde(rename = "sagas:read")]
    SagasRead,
    #[serde(rename = "sagas:write")]
    SagasWrite,
    #[serde(rename = "worker")]
    Worker,
    /// What the settings let this server do in GitLab.
    #[serde(rename = "gitlab")]
    Gitlab,
    /// Everything, and the keys themselves.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    pub const ALL: [Self; 7] = [
        Self::TasksRead,
        Self::TasksWrite,
        Self::SagasRead,
        Self::SagasWrite,
        Self::Worker,
        Self::Gitlab,
        Self::Admin,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TasksRead => "tasks:read",
            Self::TasksWrite => "tasks:write",
            Self::SagasRead => "sagas:read",
            Self::SagasWrite => "sagas:write",
            Self::Worker => "worker",
            Self::Gitlab => "gitlab",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No scope has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be tasks:read, tasks:write, sagas:read, sagas:write, worker, gitlab or admin")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(UnknownScope)
    }
}
