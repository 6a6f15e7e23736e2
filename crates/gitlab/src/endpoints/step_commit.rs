use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath, StepId};

use super::Commit;
use super::read::found;
use crate::step::has_signed;
use crate::{Client, Error};

/// What a branch tells of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSearch {
    /// What the step has made, if it is among the commits that were looked through.
    pub made: Option<Commit>,
    /// The newest of them that the step has not made.
    pub newest_other: Option<CommitId>,
}

impl Client {
    /// Looks for the commit of a step among those since `after`, and among as many of the newest as a list has at most. One that is
    /// further back, or of which the branch was rewritten since `after`, is not found, and others are: so whoever says since when
    /// learns that they were there. `None` where there is no such branch.
    pub async fn search_step(
        &self,
        project: &ProjectPath,
        branch: &BranchName,
        step: &StepId,
        after: Option<&CommitId>,
    ) -> Result<Option<StepSearch>, Error> {
        let is_made = |commit: &Commit| has_signed(step, &commit.message);
        // All that came since are looked at: whether somebody else was there is asked as well.
        let is_enough = |commit: &Commit| after.is_none() && is_made(commit);
        let walk = self.commits(project, branch, after, self.deadline(), is_enough).await;
        let wanted = || format!("look for the commit of a step on the branch {branch} of {project}");
        let walk = found(walk).map_err(|problem| Error::new(wanted(), problem))?;
        let Some(walk) = walk else { return Ok(None) };
        let (made, others): (Vec<Commit>, Vec<Commit>) = walk.listed.items.into_iter().partition(is_made);
        Ok(Some(StepSearch {
            made: made.into_iter().next(),
            newest_other: others.into_iter().next().map(|commit| commit.id),
        }))
    }
}
