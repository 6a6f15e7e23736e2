//! All that the double knows.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};

use super::git::Repository;
use super::state::State;

#[derive(Debug)]
pub(super) struct World {
    pub(super) repository: Repository,
    pub(super) state: State,
}

impl World {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            repository: Repository::open(&folder.join("repository.git"))?,
            state: State::open(folder)?,
        })
    }
}

/// As GitLab writes moments.
#[expect(
    clippy::disallowed_methods,
    reason = "shown in documents alone; no test depends on it"
)]
pub(super) fn now() -> String {
    DateTime::<Utc>::from(std::time::SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true)
}
