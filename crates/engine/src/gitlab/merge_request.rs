//! Asking for a merge.

use orchestratum_core::gitlab::StepId;
use orchestratum_core::task::CreateMergeRequestInput;
use orchestratum_gitlab::{Made, MergeRequest, NewMergeRequest, Step};

use crate::{Engine, Error};

impl Engine {
    /// Makes one, or finds the open one for the same branches. One that was closed or merged is no hindrance, unless a step is given
    /// and it is that of the step.
    ///
    /// # Errors
    /// [`Error::GitlabNotConfigured`], [`Error::Gitlab`].
    pub async fn make_merge_request(&self, input: CreateMergeRequestInput) -> Result<Made<MergeRequest>, Error> {
        let step = match &input.step {
            Some(step) => Step::again(step.clone()),
            None => Step::first(self.own_step()),
        };
        let new = NewMergeRequest {
            description: input.whole_description(),
            source: input.source_branch,
            target: input.target_branch,
            title: input.title,
            step,
        };
        Ok(self.gitlab()?.create_merge_request(&input.project, &new).await?)
    }

    /// Of a call that nobody repeats by a name.
    fn own_step(&self) -> StepId {
        StepId::new(format!("call/{}", self.parts.clock.time_ordered())).expect("letters, digits and dashes")
    }
}
