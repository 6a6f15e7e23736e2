//! Which of the sagas that wait for somebody are overtaken: others have changed their branch meanwhile.

use std::collections::BTreeMap;

use orchestratum_core::SagaId;
use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath};
use orchestratum_core::saga::SagaStatus;
use orchestratum_gitlab::Problem;
use orchestratum_store::{Saga, SagaFilter};

use super::consistency::named;
use crate::{Engine, Error};

const PAGE: usize = 100;

/// How many sagas are looked at at a time, the newest first: each costs a request.
const SAGAS_MAX: usize = 1_000;

/// Those that no step brings on by itself. One that runs compares at each of its steps, and its own commits are on their way.
const WAITING: [SagaStatus; 2] = [SagaStatus::AwaitingInput, SagaStatus::NeedsAttention];

/// Where the branches of overtaken sagas stood when it was told: each is told once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told(BTreeMap<SagaId, Option<CommitId>>);

impl Told {
    /// How many sagas are overtaken.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a saga expects.
struct Expectation {
    saga: SagaId,
    project: ProjectPath,
    branch: BranchName,
    commit: CommitId,
}

impl Engine {
    /// Compares the sagas that wait for somebody, and whose context has `project`, `branch` and `commit`, with GitLab. Whoever is
    /// overtaken, and was not told to be so with the same commit, is logged and counted. What a saga does about it is its own affair,
    /// when it goes on.
    ///
    /// # Errors
    /// [`Error::GitlabNotConfigured`], [`Error::Overloaded`], [`Error::Gitlab`] where GitLab is not available: the rest is not looked at.
    pub async fn compare_waiting_sagas(&self, told: &mut Told) -> Result<(), Error> {
        let mut overtaken = BTreeMap::new();
        for expected in self.waiting_sagas().await? {
            let found = match self.gitlab()?.get_branch(&expected.project, &expected.branch).await {
                Ok(branch) => Some(branch.commit.id),
                Err(error) if matches!(error.problem(), Problem::NotFound(_)) => None,
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(saga.id = %expected.saga, %error, "a saga cannot be compared with GitLab");
                    continue;
                }
            };
            if found.as_ref() == Some(&expected.commit) {
                continue;
            }
            if told.0.get(&expected.saga) != Some(&found) {
                expected.tell(found.as_ref());
            }
            overtaken.insert(expected.saga, found);
        }
        let count = u32::try_from(overtaken.len()).unwrap_or(u32::MAX);
        metrics::gauge!("orchestratum_gitlab_sagas_overtaken").set(f64::from(count));
        *told = Told(overtaken);
        Ok(())
    }

    async fn waiting_sagas(&self) -> Result<Vec<Expectation>, Error> {
        let (mut found, mut seen) = (Vec::new(), 0);
        for status in WAITING {
            let filter = SagaFilter {
                status: Some(status),
                ..SagaFilter::default()
            };
            let mut before = None;
            while seen < SAGAS_MAX {
                // A saga may be large: what is kept of it is not.
                let page = self.sagas(&filter, before, PAGE).await?;
                seen += page.items.len();
                found.extend(page.items.iter().filter_map(Expectation::of));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }
}

impl Expectation {
    /// `None` of a saga that names no branch, and of one that works for another one: its branch is that one's.
    fn of(saga: &Saga) -> Option<Self> {
        if saga.parent.is_some() {
            return None;
        }
        Some(Self {
            saga: saga.id,
            project: named(saga, "project").ok()?,
            branch: named(saga, "branch").ok()?,
            commit: named(saga, "commit").ok()?,
        })
    }

    fn tell(&self, found: Option<&CommitId>) {
        let found = found.map_or("gone", CommitId::as_str);
        tracing::warn!(
            saga.id = %self.saga, project = %self.project, branch = %self.branch, expected = %self.commit, found,
            "others have changed the branch of a saga that waits"
        );
        metrics::counter!("orchestratum_gitlab_drifts_total").increment(1);
    }
}
