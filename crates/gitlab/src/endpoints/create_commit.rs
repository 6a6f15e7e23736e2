use orchestratum_core::gitlab::{BranchName, CommitId, CommitMessage, ProjectPath, Reference};
use reqwest::Method;
use serde::Serialize;
use tokio::time::Instant;

use super::Commit;
use crate::change::Action;
use crate::step::{has_signed, sign};
use crate::transport::{Make, Request};
use crate::{Change, Client, Conflict, Error, Expected, Made, Problem, Step};

/// How many files one commit may change.
const CHANGES_MAX: usize = 100;

/// Several files, changed at once or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    pub branch: BranchName,
    /// The branch is made from this one: it must not be there yet.
    pub start_branch: Option<BranchName>,
    pub message: CommitMessage,
    pub changes: Vec<Change>,
    pub step: Step,
    /// A commit of the branch that is older than the step: what the step has made is not looked for beyond it.
    pub after: Option<CommitId>,
}

impl Client {
    /// Makes one commit for a step, however often it is asked for: the commit carries the step in a trailer of its message.
    ///
    /// # Errors
    /// A [`Conflict`] names the file that is not as its change says. See also [`Error::may_be_done`].
    pub async fn create_commit(&self, project: &ProjectPath, commit: &NewCommit) -> Result<Made<Commit>, Error> {
        let making = Making { project, commit };
        if let Some(problem) = self.too_much(commit) {
            return Err(Error::new(making.wanted(), problem));
        }
        match self.make(&making, commit.step.begun_before).await {
            Err(error) if matches!(error.problem(), Problem::Refused(_)) => Err(self.why(&making, error).await),
            result => result,
        }
    }

    fn too_much(&self, commit: &NewCommit) -> Option<Problem> {
        let max_bytes = self.limits.commit_max_bytes;
        let bytes = commit.changes.iter().map(Change::content_bytes).sum();
        if bytes > max_bytes {
            return Some(Problem::ChangeTooLarge { bytes, max_bytes });
        }
        let count = commit.changes.len();
        (!(1..=CHANGES_MAX).contains(&count)).then_some(Problem::ChangeCount { max: CHANGES_MAX })
    }

    /// GitLab tells in prose what it refuses a commit for. So the files are looked at: one that is not as its change says is the reason.
    async fn why(&self, making: &Making<'_>, refused: Error) -> Error {
        let branch = making.commit.start_branch.as_ref().unwrap_or(&making.commit.branch);
        let reference = Reference::Branch(branch.clone());
        let deadline = self.deadline();
        for (path, expected) in making.commit.changes.iter().flat_map(Change::conditions) {
            let state = self.file_state(making.project, path, &reference, deadline).await;
            let found = match state {
                Ok(state) => state.map_or(Expected::Absent, |state| Expected::LastChangedBy(state.last_commit)),
                // It is the refusal that matters.
                Err(_) => return refused,
            };
            if found != expected {
                let path = path.clone();
                let conflict = Conflict::File { path, expected, found };
                return Error::new(making.wanted(), Problem::Conflict(conflict));
            }
        }
        refused
    }
}

struct Making<'a> {
    project: &'a ProjectPath,
    commit: &'a NewCommit,
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    branch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_branch: Option<&'a str>,
    commit_message: String,
    actions: Vec<Action<'a>>,
}

impl Make for Making<'_> {
    type Thing = Commit;

    fn request(&self) -> Request {
        let commit = self.commit;
        let body = Body {
            branch: commit.branch.as_str(),
            start_branch: commit.start_branch.as_ref().map(BranchName::as_str),
            commit_message: sign(&commit.step.id, commit.message.as_str()),
            actions: commit.changes.iter().map(Change::as_action).collect(),
        };
        Request::of_project(Method::POST, self.project, &["repository", "commits"]).json(&body)
    }

    async fn look(
        &self,
        client: &Client,
        deadline: Instant,
        _is_unclear: bool,
    ) -> Result<Option<Made<Commit>>, Problem> {
        let NewCommit {
            branch, after, step, ..
        } = self.commit;
        let is_ours = |commit: &Commit| has_signed(&step.id, &commit.message);
        let found = client
            .find_commit(self.project, branch, after.as_ref(), deadline, is_ours)
            .await;
        found.map(|found| found.map(Made::Again))
    }

    fn wanted(&self) -> String {
        format!("make a commit on the branch {} of {}", self.commit.branch, self.project)
    }
}
