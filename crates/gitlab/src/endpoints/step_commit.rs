use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath, StepId};

use super::Commit;
use super::read::found;
use crate::step::has_signed;
use crate::{Client, Error, Problem};

/// What a branch tells of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSearch {
    /// What the step has made, if it is among the commits that were looked through.
    pub made: Option<Commit>,
    /// The newest of them that the step has not made.
    pub newest_other: Option<CommitId>,
}

impl Client {
    /// Looks for the commit of a step among those since `after`; without one, among as many of the newest as a list has at most:
    /// whoever looks for an older one has to say since when. `None` where there is no such branch.
    ///
    /// # Errors
    /// Also where more came since `after` than a list has, and the step is not among them.
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
        let listed = self.commits(project, branch, after, self.deadline(), is_enough).await;
        let wanted = || format!("look for the commit of a step on the branch {branch} of {project}");
        let listed = found(listed).map_err(|problem| Error::new(wanted(), problem))?;
        let Some(listed) = listed else { return Ok(None) };
        let has_more = listed.has_more;
        let (made, others): (Vec<Commit>, Vec<Commit>) = listed.items.into_iter().partition(is_made);
        let made = made.into_iter().next();
        if made.is_none() && has_more && after.is_some() {
            return Err(Error::new(wanted(), Problem::SearchTooLong));
        }
        Ok(Some(StepSearch {
            made,
            newest_other: others.into_iter().next().map(|commit| commit.id),
        }))
    }
}
