use std::fmt;

use super::{BranchName, CommitId};

/// Which state of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Its newest commit.
    Branch(BranchName),
    Commit(CommitId),
}

impl Reference {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Branch(branch) => branch.as_str(),
            Self::Commit(commit) => commit.as_str(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<BranchName> for Reference {
    fn from(branch: BranchName) -> Self {
        Self::Branch(branch)
    }
}

impl From<CommitId> for Reference {
    fn from(commit: CommitId) -> Self {
        Self::Commit(commit)
    }
}
