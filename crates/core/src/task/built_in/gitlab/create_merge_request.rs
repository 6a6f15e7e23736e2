use super::given;
use crate::gitlab::{BranchName, ProjectPath, STEP_TRAILER, StepId, Title};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.create_merge_request` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMergeRequestInput {
    pub project: ProjectPath,
    pub source_branch: BranchName,
    pub target_branch: BranchName,
    pub title: Title,
    /// Markdown.
    pub description: String,
    /// Closed when it is merged.
    pub issue_iid: Option<u64>,
    pub step: Option<StepId>,
}

impl CreateMergeRequestInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        const FIELDS: &[&str] = &[
            "project",
            "source_branch",
            "target_branch",
            "title",
            "description",
            "issue_iid",
            "step",
        ];
        let mut fields = Fields::of(input, &[FIELDS]);
        let project = given::required(&mut fields, "project");
        let source = given::required(&mut fields, "source_branch");
        let target = given::required(&mut fields, "target_branch");
        let title = given::required(&mut fields, "title");
        let description = description(&mut fields);
        let issue_iid = given::number(&mut fields, "issue_iid");
        let step = given::optional(&mut fields, "step");
        let (Some(project), Some(source_branch), Some(target_branch), Some(title)) = (project, source, target, title)
        else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            source_branch,
            target_branch,
            title,
            description,
            issue_iid,
            step,
        })
    }

    /// The description, and which issue is closed with the merge.
    pub fn whole_description(&self) -> String {
        let text = match self.issue_iid {
            Some(iid) => format!("{}\n\nCloses #{iid}", self.description.trim_end()),
            None => self.description.clone(),
        };
        text.trim_start().to_owned()
    }
}

fn description(fields: &mut Fields<'_>) -> String {
    const FIELD: &str = "description";
    let text = fields.text(FIELD).unwrap_or_default();
    // Who writes one makes a merge request look like another step's.
    if text.to_ascii_lowercase().contains(&STEP_TRAILER.to_ascii_lowercase()) {
        fields.refuse(FIELD, "must not have `Orchestratum-Step`");
    }
    text
}
