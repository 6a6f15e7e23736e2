use super::given;
use crate::gitlab::ProjectPath;
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.close_merge_request` takes: it undoes `gitlab.create_merge_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseMergeRequestInput {
    pub project: ProjectPath,
    pub iid: u64,
    /// It was there before: nothing is undone.
    pub existing: bool,
}

impl CloseMergeRequestInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["project", "iid", "existing"]]);
        let project = given::required(&mut fields, "project");
        let iid = given::required_number(&mut fields, "iid");
        let existing = fields.flag("existing");
        let (Some(project), Some(iid)) = (project, iid) else {
            return Err(fields.broken());
        };
        fields.finish(Self { project, iid, existing })
    }
}
