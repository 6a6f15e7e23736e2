use orchestratum_core::gitlab::{BranchName, ProjectPath, Title};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::{MergeRequest, MergeRequestFilter, MergeRequestState};
use crate::step::{has_marked, mark};
use crate::transport::{Make, Request};
use crate::{Client, Error, Made, Problem, Step};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMergeRequest {
    pub source: BranchName,
    pub target: BranchName,
    pub title: Title,
    /// Markdown. A mark of the step is added, which is not shown.
    pub description: String,
    pub step: Step,
}

impl Client {
    /// Makes a merge request for a step, or finds the one that the step has made before, also when it has been closed since, or the open
    /// one for the same branches.
    pub async fn create_merge_request(
        &self,
        project: &ProjectPath,
        merge_request: &NewMergeRequest,
    ) -> Result<Made<MergeRequest>, Error> {
        let making = Making { project, merge_request };
        self.make(&making, merge_request.step.begun_before).await
    }
}

struct Making<'a> {
    project: &'a ProjectPath,
    merge_request: &'a NewMergeRequest,
}

impl Make for Making<'_> {
    type Thing = MergeRequest;

    fn request(&self) -> Request {
        let NewMergeRequest {
            source,
            target,
            title,
            description,
            step,
        } = self.merge_request;
        let body = json!({
            "source_branch": source,
            "target_branch": target,
            "title": title,
            "description": mark(&step.id, description),
        });
        Request::of_project(Method::POST, self.project, &["merge_requests"]).json(&body)
    }

    async fn look(
        &self,
        client: &Client,
        deadline: Instant,
        _is_unclear: bool,
    ) -> Result<Option<Made<MergeRequest>>, Problem> {
        let NewMergeRequest {
            source, target, step, ..
        } = self.merge_request;
        let filter = MergeRequestFilter {
            source_branch: Some(source.clone()),
            target_branch: Some(target.clone()),
            state: None,
        };
        let listed = client.merge_requests(self.project, &filter, deadline).await?;
        let mut there = listed.items;
        let is_marked = |found: &MergeRequest| {
            found
                .description
                .as_deref()
                .is_some_and(|text| has_marked(&step.id, text))
        };
        if let Some(ours) = there.iter().position(is_marked) {
            return Ok(Some(Made::Again(there.swap_remove(ours))));
        }
        let open = there.into_iter().find(|found| found.state == MergeRequestState::Opened);
        match open {
            None if listed.has_more => Err(Problem::SearchTooLong),
            open => Ok(open.map(Made::Existing)),
        }
    }

    fn wanted(&self) -> String {
        let NewMergeRequest { source, target, .. } = self.merge_request;
        format!("make a merge request of {source} into {target} of {}", self.project)
    }
}
