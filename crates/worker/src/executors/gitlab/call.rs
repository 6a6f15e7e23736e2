use orchestratum_core::gitlab::StepId;
use orchestratum_gitlab::{Client, Step};
use orchestratum_store::ClaimedTask;

use super::Failure;

/// One attempt.
pub(super) struct Call<'a> {
    pub(super) client: &'a Client,
    pub(super) task: &'a ClaimedTask,
}

impl Call<'_> {
    pub(super) fn input(&self) -> &str {
        self.task.input.as_str()
    }

    /// Whether an attempt before this one may have made what this one is to make.
    pub(super) fn begun_before(&self) -> bool {
        self.task.attempt > 1 || self.task.run > 1
    }

    /// What makes one thing made once: the task, or what the caller says, which another task may have said before.
    pub(super) fn step(&self, given: Option<&StepId>) -> Result<Step, Failure> {
        let begun_before = given.is_some() || self.begun_before();
        let id = match given {
            Some(step) => step.clone(),
            None => StepId::new(self.task.id.to_string()).map_err(Failure::NoStep)?,
        };
        Ok(Step { id, begun_before })
    }
}
