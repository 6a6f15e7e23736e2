use orchestratum_core::gitlab::{BranchName, ProjectPath, Reference};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::Branch;
use super::read::found;
use crate::transport::{Make, Request};
use crate::{Client, Error, Made, Problem};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBranch {
    pub name: BranchName,
    pub from: Reference,
    /// Nobody else makes a branch of this name, as when the name has the id of a saga in it. A branch carries no mark, so this alone
    /// says whether one that is there is ours.
    pub is_own_name: bool,
    /// An attempt whose end is not known may have made it.
    pub begun_before: bool,
}

impl Client {
    /// Makes the branch, or finds the one that is there: where it stands is for the caller to judge.
    pub async fn create_branch(&self, project: &ProjectPath, branch: &NewBranch) -> Result<Made<Branch>, Error> {
        self.make(&Making { project, branch }, branch.begun_before).await
    }
}

struct Making<'a> {
    project: &'a ProjectPath,
    branch: &'a NewBranch,
}

impl Make for Making<'_> {
    type Thing = Branch;

    fn request(&self) -> Request {
        let body = json!({"branch": self.branch.name, "ref": self.branch.from.as_str()});
        Request::of_project(Method::POST, self.project, &["repository", "branches"]).json(&body)
    }

    async fn look(
        &self,
        client: &Client,
        deadline: Instant,
        is_unclear: bool,
    ) -> Result<Option<Made<Branch>>, Problem> {
        let branch = found(client.branch(self.project, &self.branch.name, deadline).await)?;
        // Who says that nothing was begun before has seen that it was not there: then a request of this call has made it.
        let is_of_this_call = is_unclear && !self.branch.begun_before;
        Ok(branch.map(if self.branch.is_own_name || is_of_this_call {
            Made::Again
        } else {
            Made::Existing
        }))
    }

    fn wanted(&self) -> String {
        format!(
            "make the branch {} of {} from {}",
            self.branch.name, self.project, self.branch.from
        )
    }
}
