//! What can be asked of GitLab: one call a file.

mod branch;
mod close_merge_request;
mod commit;
mod create_branch;
mod create_commit;
mod create_merge_request;
mod current_user;
mod delete_branch;
mod file_content;
mod file_state;
mod issue;
mod issues;
mod merge_request;
mod merge_requests;
mod project;
mod read;
mod revert_commit;
mod step_commit;

pub use branch::Branch;
pub use commit::Commit;
pub use create_branch::NewBranch;
pub use create_commit::NewCommit;
pub use create_merge_request::NewMergeRequest;
pub use current_user::User;
pub use delete_branch::BranchDeletion;
pub use file_content::FileContent;
pub use file_state::{FileLook, FileState};
pub use issue::Issue;
pub use issues::IssueFilter;
pub use merge_request::{MergeRequest, MergeRequestState};
pub use merge_requests::MergeRequestFilter;
pub use project::Project;
pub use step_commit::StepSearch;
