use orchestratum_core::gitlab::ProjectPath;
use reqwest::Method;
use serde_json::json;

use super::{MergeRequest, MergeRequestState};
use crate::transport::Request;
use crate::{Client, Error, Problem};

impl Client {
    /// Leaves one that is merged or closed as it is: its state says so.
    pub async fn close_merge_request(&self, project: &ProjectPath, iid: u64) -> Result<MergeRequest, Error> {
        let closed = self.closing(project, iid).await;
        closed.map_err(|problem| Error::new(format!("close the merge request {iid} of {project}"), problem))
    }

    async fn closing(&self, project: &ProjectPath, iid: u64) -> Result<MergeRequest, Problem> {
        let deadline = self.deadline();
        let there = self.merge_request(project, iid, deadline).await?;
        match there.state {
            MergeRequestState::Closed | MergeRequestState::Merged => return Ok(there),
            MergeRequestState::Opened | MergeRequestState::Locked => {}
        }
        let request = Request::of_project(Method::PUT, project, &["merge_requests", &iid.to_string()]);
        let request = request.json(&json!({"state_event": "close"}));
        self.repeat(&request, deadline).await?.read()
    }
}
