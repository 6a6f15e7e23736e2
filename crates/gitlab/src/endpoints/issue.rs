use orchestratum_core::gitlab::{IssueState, ProjectPath};
use reqwest::Method;
use serde::Deserialize;

use super::User;
use crate::transport::Request;
use crate::{Client, Error};

/// Without its description, which nobody reads and which may be large.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Issue {
    /// Among all issues of this GitLab.
    pub id: u64,
    /// In its project: the number that people know.
    pub iid: u64,
    pub project_id: u64,
    pub title: String,
    pub state: IssueState,
    #[serde(default)]
    pub labels: Vec<String>,
    #[serde(default)]
    pub assignees: Vec<User>,
    pub web_url: String,
    pub created_at: String,
    pub updated_at: String,
}

impl Client {
    pub async fn get_issue(&self, project: &ProjectPath, iid: u64) -> Result<Issue, Error> {
        let request = Request::of_project(Method::GET, project, &["issues", &iid.to_string()]);
        self.get(&request, || format!("get the issue {iid} of {project}")).await
    }
}
