use orchestratum_core::gitlab::{BranchName, ProjectPath};
use reqwest::Method;
use tokio::time::Instant;

use super::{MergeRequest, MergeRequestState};
use crate::transport::Request;
use crate::{Client, Error, Listed, Problem};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeRequestFilter {
    pub source_branch: Option<BranchName>,
    pub target_branch: Option<BranchName>,
    /// All unless told.
    pub state: Option<MergeRequestState>,
}

impl Client {
    /// Newest first.
    pub async fn get_merge_requests(
        &self,
        project: &ProjectPath,
        filter: &MergeRequestFilter,
    ) -> Result<Listed<MergeRequest>, Error> {
        let listed = self.merge_requests(project, filter, self.deadline()).await;
        listed.map_err(|problem| Error::new(format!("list the merge requests of {project}"), problem))
    }

    pub(super) async fn merge_requests(
        &self,
        project: &ProjectPath,
        filter: &MergeRequestFilter,
        deadline: Instant,
    ) -> Result<Listed<MergeRequest>, Problem> {
        let request = Request::of_project(Method::GET, project, &["merge_requests"])
            .query("state", filter.state.map_or("all", MergeRequestState::as_str))
            .query_if("source_branch", filter.source_branch.as_ref().map(BranchName::as_str))
            .query_if("target_branch", filter.target_branch.as_ref().map(BranchName::as_str));
        self.pages(request, deadline, |_| false).await
    }
}

impl MergeRequestState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Merged => "merged",
            Self::Locked => "locked",
        }
    }
}
