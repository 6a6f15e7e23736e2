use super::given;
use crate::gitlab::{BranchName, CommitId, FilePath, ProjectPath};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.file_exists` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileExistsInput {
    pub project: ProjectPath,
    pub path: FilePath,
    pub branch: BranchName,
    pub expected_commit: Option<CommitId>,
}

impl FileExistsInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["project", "path", "branch", "expected_commit"]]);
        let project = given::required(&mut fields, "project");
        let path = given::required(&mut fields, "path");
        let branch = given::required(&mut fields, "branch");
        let expected_commit = given::expected_commit(&mut fields);
        let (Some(project), Some(path), Some(branch)) = (project, path, branch) else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            path,
            branch,
            expected_commit,
        })
    }
}
