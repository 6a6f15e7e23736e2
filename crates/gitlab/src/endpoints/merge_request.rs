use orchestratum_core::gitlab::ProjectPath;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::transport::Request;
use crate::{Client, Error, Problem};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MergeRequest {
    /// In its project: the number that people know.
    pub iid: u64,
    pub state: MergeRequestState,
    pub title: String,
    #[serde(default)]
    pub description: Option<String>,
    pub source_branch: String,
    pub target_branch: String,
    /// The newest commit of its source.
    #[serde(default)]
    pub sha: Option<String>,
    pub web_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeRequestState {
    Opened,
    Closed,
    Merged,
    /// For the moment of a merge.
    Locked,
}

impl Client {
    pub async fn get_merge_request(&self, project: &ProjectPath, iid: u64) -> Result<MergeRequest, Error> {
        let found = self.merge_request(project, iid, self.deadline()).await;
        found.map_err(|problem| Error::new(format!("get the merge request {iid} of {project}"), problem))
    }

    pub(super) async fn merge_request(
        &self,
        project: &ProjectPath,
        iid: u64,
        deadline: Instant,
    ) -> Result<MergeRequest, Problem> {
        let request = Request::of_project(Method::GET, project, &["merge_requests", &iid.to_string()]);
        self.repeat(&request, deadline).await?.read()
    }
}
