//! What GitLab keeps beside the repository. It is on disk before it is told: a double that is killed loses nothing of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Records {
    /// Documents as they are answered.
    pub(super) issues: Vec<Value>,
    pub(super) merge_requests: Vec<Value>,
}

#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    pub(super) records: Records,
}

impl State {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("records.json");
        let records = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))?,
            Err(_) => Records::default(),
        };
        Ok(Self { path, records })
    }

    /// As a whole or not at all.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let draft = self.path.with_extension("draft");
        fs::write(&draft, serde_json::to_vec(&self.records)?)?;
        fs::rename(&draft, &self.path).with_context(|| format!("{}", self.path.display()))
    }
}
