//! Whether the branch of a saga stands where the saga expects it.

use orchestratum_core::SagaId;
use orchestratum_core::gitlab::{BranchName, CommitId, InvalidName, ProjectPath, StepId};
use orchestratum_store::Saga;

use crate::{Engine, Error};

/// How many commits are told.
const COMMITS_TOLD_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    pub saga: SagaId,
    pub project: ProjectPath,
    pub branch: BranchName,
    pub expected: CommitId,
    /// Where it stands.
    pub found: CommitId,
    /// Those that came since the expected one, newest first.
    pub commits: Vec<CommitSince>,
    /// Whether there are more of them. Where the branch was rewritten, so that it has no such commit, they are all that it has.
    pub has_more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSince {
    pub id: CommitId,
    pub title: String,
    /// Which step has made it; `None`: somebody else.
    pub step: Option<StepId>,
}

impl Engine {
    /// Compares the fields `project`, `branch` and `commit` of the context of a saga with GitLab.
    ///
    /// # Errors
    /// [`Error::SagaWithoutBranch`] where it has none of that kind, [`Error::Gitlab`] also where the branch is gone.
    pub async fn saga_consistency(&self, saga: SagaId) -> Result<Consistency, Error> {
        let client = self.gitlab()?;
        let saga = self.saga(saga).await?;
        let project: ProjectPath = named(&saga, "project")?;
        let branch: BranchName = named(&saga, "branch")?;
        let expected: CommitId = named(&saga, "commit")?;
        let since = client.get_commits(&project, &branch, Some(&expected)).await?;
        let has_more = since.has_more || since.items.len() > COMMITS_TOLD_MAX;
        let found = since
            .items
            .first()
            .map_or_else(|| expected.clone(), |newest| newest.id.clone());
        let commits = since.items.into_iter().take(COMMITS_TOLD_MAX);
        let commits = commits.map(|commit| CommitSince {
            step: commit.step(),
            id: commit.id,
            title: commit.title,
        });
        Ok(Consistency {
            saga: saga.id,
            project,
            branch,
            expected,
            found,
            commits: commits.collect(),
            has_more,
        })
    }
}

impl Consistency {
    pub fn is_consistent(&self) -> bool {
        self.expected == self.found
    }
}

/// A field of the context that is such a name.
pub(super) fn named<T>(saga: &Saga, field: &str) -> Result<T, Error>
where
    T: TryFrom<String, Error = InvalidName>,
{
    let without = |reason: String| Error::SagaWithoutBranch { saga: saga.id, reason };
    let context = &saga.instance.context;
    let value = context.iter().find(|(name, _)| name.as_str() == field);
    let text = value.and_then(|(_, value)| serde_json::from_str::<String>(value.as_str()).ok());
    let text = text.ok_or_else(|| without(format!("its context has no text `{field}`")))?;
    T::try_from(text).map_err(|invalid| without(format!("`{field}` of its context: {invalid}")))
}
