use super::given;
use crate::gitlab::{Assignee, IssueState, ProjectPath};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.list_issues` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListIssuesInput {
    /// Of all projects that the token may see, if absent.
    pub project: Option<ProjectPath>,
    pub assignee: Assignee,
    /// Both kinds, if absent.
    pub state: Option<IssueState>,
}

impl ListIssuesInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        let mut fields = Fields::of(input, &[&["project", "assignee", "state"]]);
        let project = given::optional(&mut fields, "project");
        let assignee = fields.text("assignee").map(Assignee::new);
        let assignee = assignee.and_then(|assignee| given::checked(&mut fields, "assignee", assignee));
        let read = Self {
            project,
            assignee: assignee.unwrap_or_default(),
            state: state(&mut fields),
        };
        fields.finish(read)
    }
}

fn state(fields: &mut Fields<'_>) -> Option<IssueState> {
    match fields.text("state")?.as_str() {
        "opened" => Some(IssueState::Opened),
        "closed" => Some(IssueState::Closed),
        _ => {
            fields.refuse("state", "must be opened or closed");
            None
        }
    }
}
