use orchestratum_core::gitlab::{BranchName, ProjectPath};
use reqwest::Method;
use serde::Deserialize;
use tokio::time::Instant;

use super::Commit;
use crate::transport::Request;
use crate::{Client, Error, Problem};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Branch {
    pub name: String,
    /// Its newest.
    pub commit: Commit,
    #[serde(default)]
    pub protected: bool,
    #[serde(default)]
    pub web_url: String,
}

impl Client {
    pub async fn get_branch(&self, project: &ProjectPath, branch: &BranchName) -> Result<Branch, Error> {
        let found = self.branch(project, branch, self.deadline()).await;
        found.map_err(|problem| Error::new(format!("get the branch {branch} of {project}"), problem))
    }

    pub(super) async fn branch(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        deadline: Instant,
    ) -> Result<Branch, Problem> {
        let request = Request::of_project(Method::GET, project, &["repository", "branches", branch.as_str()]);
        self.repeat(&request, deadline).await?.read()
    }
}
