use std::fmt;

use super::{BranchName, CommitId, InvalidName};

/// Which state of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Its newest commit.
    Branch(BranchName),
    Commit(CommitId),
}

impl Reference {
    /// What looks like the id of a commit is one: no branch may look so.
    ///
    /// # Errors
    /// Which rule of a branch's name the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        match CommitId::new(text.as_str()) {
            Ok(commit) => Ok(Self::Commit(commit)),
            Err(_) => BranchName::new(text).map(Self::Branch),
        }
    }

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
