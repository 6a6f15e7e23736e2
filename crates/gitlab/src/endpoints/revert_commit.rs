use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::Commit;
use crate::transport::{Make, Request};
use crate::{Client, Conflict, Error, Made, Problem};

impl Client {
    /// Takes back what a commit did, by a commit of its own. GitLab writes the message, which names the commit that is taken back: by
    /// that it is found again, so a commit is reverted once, whoever does it.
    ///
    /// # Errors
    /// A [`Conflict`] where the files have changed since.
    pub async fn revert_commit(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        commit: &CommitId,
        begun_before: bool,
    ) -> Result<Made<Commit>, Error> {
        let making = Making {
            project,
            branch,
            commit,
        };
        match self.make(&making, begun_before).await {
            Err(error) => Err(match error.problem() {
                Problem::Refused(said) => {
                    Error::new(making.wanted(), Problem::Conflict(Conflict::Revert(said.clone())))
                }
                _ => error,
            }),
            made => made,
        }
    }
}

struct Making<'a> {
    project: &'a ProjectPath,
    branch: &'a BranchName,
    commit: &'a CommitId,
}

impl Make for Making<'_> {
    type Thing = Commit;

    fn request(&self) -> Request {
        let segments = ["repository", "commits", self.commit.as_str(), "revert"];
        Request::of_project(Method::POST, self.project, &segments).json(&json!({"branch": self.branch}))
    }

    async fn look(
        &self,
        client: &Client,
        deadline: Instant,
        is_unclear: bool,
    ) -> Result<Option<Made<Commit>>, Problem> {
        let words = format!("This reverts commit {}", self.commit);
        let is_revert = |commit: &Commit| commit.message.contains(&words);
        let found = client
            .find_commit(self.project, self.branch, Some(self.commit), deadline, is_revert)
            .await?;
        Ok(found.map(if is_unclear { Made::Again } else { Made::Existing }))
    }

    fn wanted(&self) -> String {
        format!(
            "revert the commit {} on the branch {} of {}",
            self.commit, self.branch, self.project
        )
    }
}
