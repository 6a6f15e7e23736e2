//! Which of the sagas that wait for somebody are overtaken: others have changed their branch meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use orchestratum_core::SagaId;
use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath};
use orchestratum_core::saga::SagaStatus;
use orchestratum_gitlab::{self as gitlab, Problem};
use orchestratum_store::{Saga, SagaFilter};

use super::consistency::named;
use crate::{Engine, Error};

const PAGE: usize = 100;

/// How many sagas of each status are compared at a time, the newest first: each costs a request.
const SAGAS_MAX: usize = 1_000;

/// How many of each status are read for them: most that wait may work on no branch.
const SAGAS_READ_MAX: usize = 20_000;

/// How many projects may fail one after the other: a GitLab that answers for none of them is asked no more.
const FAILURES_IN_A_ROW: usize = 3;

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

/// Projects that GitLab does not answer for.
#[derive(Default)]
struct Failed {
    projects: BTreeSet<ProjectPath>,
    in_a_row: usize,
    last: Option<gitlab::Error>,
}

/// Where a branch stands.
enum Look {
    At(CommitId),
    Gone,
    /// GitLab does not say.
    Untold,
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
    /// [`Error::GitlabNotConfigured`], [`Error::Overloaded`], [`Error::Gitlab`] where GitLab is not available for a project: its sagas
    /// are not looked at, and none is where it is so for one project after the other.
    pub async fn compare_waiting_sagas(&self, told: &mut Told) -> Result<(), Error> {
        let mut overtaken = BTreeMap::new();
        let mut failed = Failed::default();
        for expected in self.waiting_sagas().await? {
            let found = match self.look_at(&expected, &mut failed).await? {
                Look::At(commit) => Some(commit),
                Look::Gone => None,
                Look::Untold => {
                    // That it could not be asked for in between is no reason to tell it once more.
                    if let Some(before) = told.0.get(&expected.saga) {
                        overtaken.insert(expected.saga, before.clone());
                    }
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
        failed.last.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn look_at(&self, expected: &Expectation, failed: &mut Failed) -> Result<Look, Error> {
        if failed.in_a_row >= FAILURES_IN_A_ROW || failed.projects.contains(&expected.project) {
            return Ok(Look::Untold);
        }
        let branch = self.gitlab()?.get_branch(&expected.project, &expected.branch).await;
        let look = match branch {
            Err(error) if error.is_transient() => {
                failed.in_a_row += 1;
                failed.projects.insert(expected.project.clone());
                failed.last = Some(error);
                return Ok(Look::Untold);
            }
            Ok(branch) => Look::At(branch.commit.id),
            Err(error) if matches!(error.problem(), Problem::NotFound(_)) => Look::Gone,
            Err(error) => {
                tracing::debug!(saga.id = %expected.saga, %error, "a saga cannot be compared with GitLab");
                Look::Untold
            }
        };
        failed.in_a_row = 0;
        Ok(look)
    }

    async fn waiting_sagas(&self) -> Result<Vec<Expectation>, Error> {
        let mut all = Vec::new();
        for status in WAITING {
            all.extend(self.sagas_that_are(status).await?);
        }
        Ok(all)
    }

    async fn sagas_that_are(&self, status: SagaStatus) -> Result<Vec<Expectation>, Error> {
        let filter = SagaFilter {
            status: Some(status),
            ..SagaFilter::default()
        };
        let (mut found, mut before, mut read) = (Vec::new(), None, 0);
        while found.len() < SAGAS_MAX && read < SAGAS_READ_MAX {
            // A saga may be large: what is kept of it is not.
            let page = self.sagas(&filter, before, PAGE).await?;
            read += page.items.len();
            found.extend(page.items.iter().filter_map(Expectation::of));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        found.truncate(SAGAS_MAX);
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
