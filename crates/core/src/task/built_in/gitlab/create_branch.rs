use super::given;
use crate::gitlab::{BranchName, ProjectPath, Reference, StepId};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.create_branch` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateBranchInput {
    pub project: ProjectPath,
    pub branch: BranchName,
    pub from: Reference,
    pub step: Option<StepId>,
}

impl CreateBranchInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["project", "branch", "from", "step"]]);
        let project = given::required(&mut fields, "project");
        let branch = given::required(&mut fields, "branch");
        let from = given::reference(&mut fields, "from");
        let step = given::optional(&mut fields, "step");
        let (Some(project), Some(branch), Some(from)) = (project, branch, from) else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            branch,
            from,
            step,
        })
    }
}
