use orchestratum_core::JsonText;
use orchestratum_core::gitlab::IssueState;
use orchestratum_core::task::ListIssuesInput;
use orchestratum_gitlab::{Issue, IssueFilter};
use serde::Serialize;

use super::{Call, Failure};

#[derive(Serialize)]
struct Output<'a> {
    issues: Vec<Row<'a>>,
    has_more: bool,
}

/// Without its description: many of them would be too large.
#[derive(Serialize)]
struct Row<'a> {
    iid: u64,
    project_id: u64,
    title: &'a str,
    state: IssueState,
    labels: &'a [String],
    assignees: Vec<&'a str>,
    web_url: &'a str,
    created_at: &'a str,
    updated_at: &'a str,
}

impl<'a> Row<'a> {
    fn of(issue: &'a Issue) -> Self {
        Self {
            iid: issue.iid,
            project_id: issue.project_id,
            title: &issue.title,
            state: issue.state,
            labels: &issue.labels,
            assignees: issue.assignees.iter().map(|user| user.username.as_str()).collect(),
            web_url: &issue.web_url,
            created_at: &issue.created_at,
            updated_at: &issue.updated_at,
        }
    }
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let ListIssuesInput {
        project,
        assignee,
        state,
    } = ListIssuesInput::read(call.input())?;
    let filter = IssueFilter {
        project,
        assignee,
        state,
    };
    let listed = call.client.get_issues(&filter).await?;
    let output = Output {
        issues: listed.items.iter().map(Row::of).collect(),
        has_more: listed.has_more,
    };
    Ok(JsonText::of(&output)?)
}
