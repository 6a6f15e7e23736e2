use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath};
use reqwest::Method;

use super::read::found;
use crate::transport::Request;
use crate::{Client, Conflict, Error, Problem};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchDeletion {
    Deleted,
    AlreadyGone,
}

impl Client {
    /// `only_at`: the branch stays where it has moved on from this commit, for then somebody has worked on it.
    pub async fn delete_branch(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        only_at: Option<&CommitId>,
    ) -> Result<BranchDeletion, Error> {
        let deleted = self.deletion(project, branch, only_at).await;
        deleted.map_err(|problem| Error::new(format!("delete the branch {branch} of {project}"), problem))
    }

    async fn deletion(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        only_at: Option<&CommitId>,
    ) -> Result<BranchDeletion, Problem> {
        let deadline = self.deadline();
        if let Some(expected) = only_at {
            let Some(there) = found(self.branch(project, branch, deadline).await)? else {
                return self.gone(project).await;
            };
            if there.commit.id != *expected {
                let expected = expected.clone();
                let found = there.commit.id;
                return Err(Problem::Conflict(Conflict::Branch { expected, found }));
            }
        }
        let request = Request::of_project(Method::DELETE, project, &["repository", "branches", branch.as_str()]);
        match found(self.repeat(&request, deadline).await)? {
            Some(_) => Ok(BranchDeletion::Deleted),
            None => self.gone(project).await,
        }
    }

    /// The same is said where the token may not see the project any more.
    async fn gone(&self, project: &ProjectPath) -> Result<BranchDeletion, Problem> {
        let request = Request::of_project(Method::GET, project, &[]);
        self.repeat(&request, self.deadline()).await?;
        Ok(BranchDeletion::AlreadyGone)
    }
}
