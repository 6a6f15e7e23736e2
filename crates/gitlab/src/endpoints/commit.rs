use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath, StepId};
use reqwest::Method;
use serde::Deserialize;
use tokio::time::Instant;

use crate::step::signed;
use crate::transport::Request;
use crate::{Client, Error, Listed, Problem};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Commit {
    pub id: CommitId,
    #[serde(default)]
    pub parent_ids: Vec<CommitId>,
    pub title: String,
    pub message: String,
    #[serde(default)]
    pub author_name: String,
    #[serde(default)]
    pub web_url: String,
}

impl Commit {
    /// Which step has made it, if it says so.
    pub fn step(&self) -> Option<StepId> {
        signed(&self.message)
    }
}

impl Client {
    pub async fn get_commit(&self, project: &ProjectPath, id: &CommitId) -> Result<Commit, Error> {
        let commit = self.commit(project, id, self.deadline()).await;
        commit.map_err(|problem| Error::new(format!("get the commit {id} of {project}"), problem))
    }

    /// The commits of a branch, newest first, down to `after` and without it.
    pub async fn get_commits(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        after: Option<&CommitId>,
    ) -> Result<Listed<Commit>, Error> {
        let listed = self.commits(project, branch, after, self.deadline(), |_| false).await;
        listed.map_err(|problem| Error::new(format!("list the commits of the branch {branch} of {project}"), problem))
    }

    pub(super) async fn commit(
        &self,
        project: &ProjectPath,
        id: &CommitId,
        deadline: Instant,
    ) -> Result<Commit, Problem> {
        let request = Request::of_project(Method::GET, project, &["repository", "commits", id.as_str()]);
        self.repeat(&request, deadline).await?.read()
    }

    /// Not further than to the page that has one which is wanted.
    pub(super) async fn commits(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        after: Option<&CommitId>,
        deadline: Instant,
        is_wanted: impl Fn(&Commit) -> bool + Send + Sync,
    ) -> Result<Listed<Commit>, Problem> {
        let request = Request::of_project(Method::GET, project, &["repository", "commits"]);
        let request = request.query("ref_name", branch.as_str());
        let is_last = |commit: &Commit| Some(&commit.id) == after;
        let is_enough = |page: &[Commit]| page.iter().any(|commit| is_last(commit) || is_wanted(commit));
        let mut listed = self.pages(request, deadline, is_enough).await?;
        if let Some(end) = listed.items.iter().position(is_last) {
            listed.items.truncate(end);
        }
        Ok(listed)
    }

    /// One that is wanted, if the branch has it.
    pub(super) async fn find_commit(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        after: Option<&CommitId>,
        deadline: Instant,
        is_wanted: impl Fn(&Commit) -> bool + Send + Sync,
    ) -> Result<Option<Commit>, Problem> {
        let listed = match self.commits(project, branch, after, deadline, &is_wanted).await {
            Ok(listed) => listed,
            // A branch that is not there has no commits.
            Err(Problem::NotFound(_)) => return Ok(None),
            Err(problem) => return Err(problem),
        };
        match listed.items.into_iter().find(is_wanted) {
            None if listed.has_more => Err(Problem::SearchTooLong),
            found => Ok(found),
        }
    }
}
