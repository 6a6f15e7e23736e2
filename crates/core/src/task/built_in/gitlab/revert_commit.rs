use super::given;
use crate::gitlab::{BranchName, CommitId, ProjectPath, StepId};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.revert_commit` takes: it undoes `gitlab.commit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertCommitInput {
    pub project: ProjectPath,
    pub branch: BranchName,
    pub taken_back: TakenBack,
    /// Where the branch is thought to stand: upon which commit the one is made that takes it back.
    pub expected_commit: Option<CommitId>,
    /// A commit that is no newer than this one was there before: nothing is undone.
    pub since: Option<CommitId>,
    /// It was there before: nothing is undone.
    pub existing: bool,
}

/// Which commit is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenBack {
    Commit(CommitId),
    /// That of the step, if it has made one: that is not known where it was stopped.
    OfStep(StepId),
}

impl RevertCommitInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(
            input,
            &[&[
                "project",
                "branch",
                "commit",
                "step",
                "expected_commit",
                "since",
                "existing",
            ]],
        );
        let project = given::required(&mut fields, "project");
        let branch = given::required(&mut fields, "branch");
        let taken_back = taken_back(&mut fields);
        let expected_commit = given::expected_commit(&mut fields);
        let since = given::optional(&mut fields, "since");
        let existing = fields.flag("existing");
        let (Some(project), Some(branch), Some(taken_back)) = (project, branch, taken_back) else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            branch,
            taken_back,
            expected_commit,
            since,
            existing,
        })
    }
}

fn taken_back(fields: &mut Fields<'_>) -> Option<TakenBack> {
    match (fields.is_absent("commit"), fields.is_absent("step")) {
        (true, true) => {
            fields.lack("must have a commit or a step");
            None
        }
        (false, true) => given::optional(fields, "commit").map(TakenBack::Commit),
        (true, false) => given::optional(fields, "step").map(TakenBack::OfStep),
        (false, false) => {
            fields.refuse("step", "must be left out where there is a commit");
            None
        }
    }
}
