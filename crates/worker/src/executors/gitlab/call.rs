use std::sync::atomic::{AtomicBool, Ordering};

use orchestratum_core::gitlab::StepId;
use orchestratum_gitlab::{Client, Step};
use orchestratum_store::ClaimedTask;

use super::Failure;

/// One attempt.
pub(super) struct Call<'a> {
    pub(super) client: &'a Client,
    pub(super) task: &'a ClaimedTask,
    /// It has begun to change something.
    is_changing: AtomicBool,
}

impl<'a> Call<'a> {
    pub(super) fn new(client: &'a Client, task: &'a ClaimedTask) -> Self {
        Self {
            client,
            task,
            is_changing: AtomicBool::new(false),
        }
    }

    /// The client, for a request that changes something: whoever is to stop waits for its answer, as long as it may. What comes about
    /// behind the back of a task that is over would be found by nobody who takes it back.
    pub(super) fn changing(&self) -> &'a Client {
        self.is_changing.store(true, Ordering::Relaxed);
        self.client
    }

    pub(super) fn is_changing(&self) -> bool {
        self.is_changing.load(Ordering::Relaxed)
    }

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
