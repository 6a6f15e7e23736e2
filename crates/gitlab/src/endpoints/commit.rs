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

/// The commits of a branch, from the newest on.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) listed: Listed<Commit>,
    /// Whether the one was met that is the last: it is on the branch.
    pub(super) has_met: bool,
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
        let walk = self.commits(project, branch, after, self.deadline(), |_| false).await;
        let wanted = || format!("list the commits of the branch {branch} of {project}");
        walk.map(|walk| walk.listed)
            .map_err(|problem| Error::new(wanted(), problem))
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

    /// Those before `after`, and not further than to the page that has one which is wanted.
    pub(super) async fn commits(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        after: Option<&CommitId>,
        deadline: Instant,
        is_wanted: impl Fn(&Commit) -> bool + Send + Sync,
    ) -> Result<Walk, Problem> {
        let request = Request::of_project(Method::GET, project, &["repository", "commits"]);
        let request = request.query("ref_name", branch.as_str());
        let is_last = |commit: &Commit| Some(&commit.id) == after;
        let is_enough = |page: &[Commit]| page.iter().any(|commit| is_last(commit) || is_wanted(commit));
        let mut listed = self.pages(request, deadline, is_enough).await?;
        // Every branch has a commit. An older GitLab lists none of a branch that is not there, where a newer one says so.
        if listed.items.is_empty() {
            self.branch(project, branch, deadline).await?;
        }
        let end = listed.items.iter().position(is_last);
        listed.items.truncate(end.unwrap_or(listed.items.len()));
        let has_met = end.is_some();
        Ok(Walk { listed, has_met })
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
            Ok(walk) => walk.listed,
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
