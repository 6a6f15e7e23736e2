use orchestratum_core::gitlab::ProjectPath;
use reqwest::Method;
use serde::Deserialize;

use crate::transport::Request;
use crate::{Client, Error};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Project {
    pub id: u64,
    pub path_with_namespace: String,
    /// None in an empty repository.
    #[serde(default)]
    pub default_branch: Option<String>,
    pub web_url: String,
    /// Where the repository is cloned from.
    #[serde(default)]
    pub http_url_to_repo: String,
}

impl Client {
    pub async fn get_project(&self, project: &ProjectPath) -> Result<Project, Error> {
        let request = Request::of_project(Method::GET, project, &[]);
        self.get(&request, || format!("get the project {project}")).await
    }
}
