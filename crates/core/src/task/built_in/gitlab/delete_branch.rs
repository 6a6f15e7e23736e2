use super::given;
use crate::gitlab::{BranchName, CommitId, ProjectPath};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.delete_branch` takes: it undoes `gitlab.create_branch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteBranchInput {
    pub project: ProjectPath,
    pub branch: BranchName,
    /// A branch that has moved on from there stays: somebody has worked on it.
    pub only_at: CommitId,
    /// It was there before: nothing is undone.
    pub existing: bool,
}

impl DeleteBranchInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["project", "branch", "only_at", "existing"]]);
        let project = given::required(&mut fields, "project");
        let branch = given::required(&mut fields, "branch");
        let only_at = given::required(&mut fields, "only_at");
        let existing = fields.flag("existing");
        let (Some(project), Some(branch), Some(only_at)) = (project, branch, only_at) else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            branch,
            only_at,
            existing,
        })
    }
}
