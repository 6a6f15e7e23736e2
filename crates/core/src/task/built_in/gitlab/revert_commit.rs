use super::given;
use crate::gitlab::{BranchName, CommitId, ProjectPath};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.revert_commit` takes: it undoes `gitlab.commit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertCommitInput {
    pub project: ProjectPath,
    pub branch: BranchName,
    pub commit: CommitId,
    /// Where the branch is thought to stand: upon which commit the one is made that takes it back.
    pub expected_commit: Option<CommitId>,
    /// It was there before: nothing is undone.
    pub existing: bool,
}

impl RevertCommitInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(
            input,
            &[&["project", "branch", "commit", "expected_commit", "existing"]],
        );
        let project = given::required(&mut fields, "project");
        let branch = given::required(&mut fields, "branch");
        let commit = given::required(&mut fields, "commit");
        let expected_commit = given::expected_commit(&mut fields);
        let existing = fields.flag("existing");
        let (Some(project), Some(branch), Some(commit)) = (project, branch, commit) else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            branch,
            commit,
            expected_commit,
            existing,
        })
    }
}
