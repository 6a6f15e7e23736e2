use orchestratum_core::gitlab::{Assignee, IssueState, ProjectPath};
use reqwest::Method;

use super::Issue;
use crate::transport::Request;
use crate::{Client, Error, Listed};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueFilter {
    /// Of one project, or of all that the token may see.
    pub project: Option<ProjectPath>,
    pub assignee: Assignee,
    /// Both kinds unless told.
    pub state: Option<IssueState>,
}

impl Client {
    /// Newest first.
    pub async fn get_issues(&self, filter: &IssueFilter) -> Result<Listed<Issue>, Error> {
        let request = match &filter.project {
            Some(project) => Request::of_project(Method::GET, project, &["issues"]),
            None => Request::get(&["issues"]),
        };
        // Without a scope the list of all projects has those only that the user of the token has written.
        let (scope, username) = match &filter.assignee {
            Assignee::Anybody => ("all", None),
            Assignee::TokenUser => ("assigned_to_me", None),
            Assignee::User(username) => ("all", Some(username.as_str())),
        };
        let request = request
            .query("scope", scope)
            .query_if("assignee_username", username)
            .query_if("state", filter.state.map(IssueState::as_str));
        let listed = self.pages(request, self.deadline(), |_: &[Issue]| false).await;
        listed.map_err(|problem| {
            let of = filter
                .project
                .as_ref()
                .map(|project| format!(" of {project}"))
                .unwrap_or_default();
            Error::new(format!("list the issues{of}"), problem)
        })
    }
}
