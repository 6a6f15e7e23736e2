//! The issues of somebody.

use orchestratum_gitlab::{Issue, IssueFilter, Listed};

use crate::{Engine, Error};

impl Engine {
    /// Newest first, as many as a list of GitLab is read.
    ///
    /// # Errors
    /// [`Error::GitlabNotConfigured`], [`Error::Gitlab`].
    pub async fn gitlab_issues(&self, filter: &IssueFilter) -> Result<Listed<Issue>, Error> {
        Ok(self.gitlab()?.get_issues(filter).await?)
    }
}
