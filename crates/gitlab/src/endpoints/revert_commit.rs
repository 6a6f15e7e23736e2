use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::Commit;
use super::commit::Walk;
use crate::transport::{Make, Request};
use crate::{Client, Conflict, Error, Made, Problem, Said};

impl Client {
    /// Takes back what a commit did, by a commit of its own. GitLab writes the message, which names the commit that is taken back: by
    /// that it is found again, so a commit is reverted once, whoever does it. One that may be begun already, and is no newer than
    /// `since`, is left: it was there before.
    ///
    /// # Errors
    /// A [`Conflict`] where the files have changed since. [`Problem::NothingToRevert`] where the commit changed nothing, or nothing is
    /// left of what it did; and of what may be begun already, where the branch has no such commit among as many of the newest as a list
    /// has: it was rewritten, or has gone on so far that nobody wants that any more.
    pub async fn revert_commit(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        commit: &CommitId,
        since: Option<&CommitId>,
        begun_before: bool,
    ) -> Result<Made<Commit>, Error> {
        let making = Making {
            project,
            branch,
            commit,
            since,
        };
        match self.make(&making, begun_before).await {
            Err(error) => Err(match error.problem() {
                Problem::Refused(said) => Error::new(making.wanted(), refused(said)),
                _ => error,
            }),
            made => made,
        }
    }
}

/// GitLab says the same of both in prose, and tells them apart by a word.
fn refused(said: &Said) -> Problem {
    if said.error_code() == Some("empty") {
        Problem::NothingToRevert("nothing is left of what the commit did")
    } else {
        Problem::Conflict(Conflict::Revert(said.clone()))
    }
}

struct Making<'a> {
    project: &'a ProjectPath,
    branch: &'a BranchName,
    commit: &'a CommitId,
    since: Option<&'a CommitId>,
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
        let walk = client
            .commits(self.project, self.branch, Some(self.commit), deadline, is_revert)
            .await;
        let Walk { listed, has_met } = match walk {
            Ok(walk) => walk,
            // A branch that is not there has no commits.
            Err(Problem::NotFound(_)) => return Ok(None),
            Err(problem) => return Err(problem),
        };
        if listed.items.iter().any(|newer| Some(&newer.id) == self.since) {
            return Err(Problem::NothingToRevert("the commit was there before"));
        }
        match listed.items.into_iter().find(is_revert) {
            Some(revert) if is_unclear => Ok(Some(Made::Again(revert))),
            Some(revert) => Ok(Some(Made::Existing(revert))),
            None if has_met => Ok(None),
            None if listed.has_more => Err(Problem::NothingToRevert(
                "the commit is not among the newest of the branch",
            )),
            None => Err(Problem::NothingToRevert("the commit is not on the branch")),
        }
    }

    fn wanted(&self) -> String {
        format!(
            "revert the commit {} on the branch {} of {}",
            self.commit, self.branch, self.project
        )
    }
}
