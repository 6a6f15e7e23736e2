//! What the tasks `gitlab.…` take: one file a task.
//!
//! What may stand in a URL is checked here, by the names of [`crate::gitlab`]: nothing that could lead a request elsewhere is stored, let
//! alone sent.

mod close_merge_request;
mod commit;
mod create_branch;
mod create_merge_request;
mod delete_branch;
mod file_exists;
mod get_file;
mod given;
mod list_issues;
mod pretty;
mod revert_commit;
#[cfg(test)]
mod tests;

use crate::task::rules::Violations;

pub use close_merge_request::CloseMergeRequestInput;
pub use commit::{CommitInput, FileText};
pub use create_branch::CreateBranchInput;
pub use create_merge_request::CreateMergeRequestInput;
pub use delete_branch::DeleteBranchInput;
pub use file_exists::FileExistsInput;
pub use get_file::{FileFormat, GetFileInput, OnFault};
pub use list_issues::ListIssuesInput;
pub use revert_commit::{RevertCommitInput, TakenBack};

/// What all names of these tasks begin with.
pub(super) const PREFIX: &str = "gitlab.";

/// A task that a worker does in GitLab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitlabTask {
    CloseMergeRequest,
    Commit,
    CreateBranch,
    CreateMergeRequest,
    DeleteBranch,
    FileExists,
    GetFile,
    ListIssues,
    RevertCommit,
}

impl GitlabTask {
    pub const ALL: [Self; 9] = [
        Self::CloseMergeRequest,
        Self::Commit,
        Self::CreateBranch,
        Self::CreateMergeRequest,
        Self::DeleteBranch,
        Self::FileExists,
        Self::GetFile,
        Self::ListIssues,
        Self::RevertCommit,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CloseMergeRequest => "gitlab.close_merge_request",
            Self::Commit => "gitlab.commit",
            Self::CreateBranch => "gitlab.create_branch",
            Self::CreateMergeRequest => "gitlab.create_merge_request",
            Self::DeleteBranch => "gitlab.delete_branch",
            Self::FileExists => "gitlab.file_exists",
            Self::GetFile => "gitlab.get_file",
            Self::ListIssues => "gitlab.list_issues",
            Self::RevertCommit => "gitlab.revert_commit",
        }
    }

    pub(super) fn check(self, input: &str) -> Result<(), Violations> {
        match self {
            Self::CloseMergeRequest => CloseMergeRequestInput::read(input).map(drop),
            Self::Commit => CommitInput::read(input).map(drop),
            Self::CreateBranch => CreateBranchInput::read(input).map(drop),
            Self::CreateMergeRequest => CreateMergeRequestInput::read(input).map(drop),
            Self::DeleteBranch => DeleteBranchInput::read(input).map(drop),
            Self::FileExists => FileExistsInput::read(input).map(drop),
            Self::GetFile => GetFileInput::read(input).map(drop),
            Self::ListIssues => ListIssuesInput::read(input).map(drop),
            Self::RevertCommit => RevertCommitInput::read(input).map(drop),
        }
    }
}
