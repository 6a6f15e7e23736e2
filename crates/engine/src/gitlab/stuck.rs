//! What keeps a saga that works in GitLab from going on, and taking it again.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Cause, CompensationStatus, Fields, Instance, Phase, SagaStatus};
use orchestratum_core::task::{ErrorCode, ErrorKind, TaskError, TaskState, TaskStatus};
use orchestratum_store::{Saga, SagaFilter, TaskFilter};

use crate::{Engine, Error};

/// What all codes of failures in GitLab begin with.
const CODES: &str = "gitlab_";

/// What the names of all tasks in GitLab begin with.
const TASKS: &str = "gitlab.";

/// How a task ends that has not done what it should. One that somebody has cancelled is theirs to take again.
const UNSUCCESSFUL: [TaskStatus; 2] = [TaskStatus::Failed, TaskStatus::Expired];

/// How many tasks of a saga are read at a time.
const FAILED_AT_ONCE: usize = 50;

impl Engine {
    /// Takes it again where GitLab has refused something before: its reason may be gone. What stopped for another reason waits for
    /// somebody who looks at it.
    pub(super) async fn take_again(&self, saga: &Saga, actor: Option<String>) -> Result<(), Error> {
        let Some(stuck) = self.stuck(saga).await? else {
            return Ok(());
        };
        if self.refused_by_gitlab(&stuck).await?.is_none() {
            return Ok(());
        }
        let version = Some(stuck.instance.version);
        let again = match not_undone(&stuck.instance) {
            Some(number) => self.retry_compensation(stuck.id, number, version, actor).await,
            None => self.retry_saga(stuck.id, Fields::new(), version, actor).await,
        };
        match again {
            // Somebody else was faster.
            Err(Error::SagaVersionMismatch { .. } | Error::SagaRejected { .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Fails where somebody has to look at it, with what GitLab said, if it is that.
    pub(super) async fn check_unstuck(&self, saga: &Saga) -> Result<(), Error> {
        let Some(stuck) = self.stuck(saga).await? else {
            return Ok(());
        };
        Err(match self.refused_by_gitlab(&stuck).await? {
            Some(failure) => Error::SagaRefusedByGitlab { saga: saga.id, failure },
            // A person gets that one on.
            None => Error::SagaStuck {
                saga: stuck.id,
                status: stuck.instance.status(),
                reason: reason(&stuck.instance),
            },
        })
    }

    /// The saga itself, or the calculation for which it waits.
    async fn stuck(&self, saga: &Saga) -> Result<Option<Saga>, Error> {
        match saga.instance.status() {
            SagaStatus::NeedsAttention | SagaStatus::CompensationStuck => Ok(Some(saga.clone())),
            SagaStatus::Running | SagaStatus::Compensating => self.stuck_child(saga.id).await,
            SagaStatus::AwaitingInput
            | SagaStatus::Completed
            | SagaStatus::Failed
            | SagaStatus::TimedOut
            | SagaStatus::Cancelled => Ok(None),
        }
    }

    async fn stuck_child(&self, parent: SagaId) -> Result<Option<Saga>, Error> {
        for status in [SagaStatus::NeedsAttention, SagaStatus::CompensationStuck] {
            let children = SagaFilter {
                parent: Some(parent),
                status: Some(status),
                ..SagaFilter::default()
            };
            if let Some(child) = self.sagas(&children, None, 1).await?.items.pop() {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    /// The failure that nobody hears, if it is one of GitLab.
    async fn refused_by_gitlab(&self, stuck: &Saga) -> Result<Option<TaskError>, Error> {
        if let Phase::Stuck { error, .. } = &stuck.instance.phase {
            let undo = stuck.instance.stack.last();
            return Ok(undo.and_then(|undo| of_gitlab(&undo.task.name, error)));
        }
        for parked in &stuck.instance.parked {
            if let Cause::Task { number, .. } = parked.cause
                && let Some(failure) = self.failure_of(stuck.id, number).await?
            {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }

    /// How the task with this number failed in GitLab. A number that is that of a child has none.
    async fn failure_of(&self, saga: SagaId, number: u32) -> Result<Option<TaskError>, Error> {
        for status in UNSUCCESSFUL {
            let unsuccessful = TaskFilter {
                saga_id: Some(saga),
                status: Some(status),
                ..TaskFilter::default()
            };
            let mut before = None;
            loop {
                let page = self.list(&unsuccessful, before, FAILED_AT_ONCE).await?;
                for task in page.items {
                    if task.spec.saga.is_some_and(|place| place.number == number)
                        && let TaskState::Failed { error, .. } | TaskState::Expired { error, .. } = &task.life.state
                    {
                        return Ok(of_gitlab(task.spec.name.as_str(), error));
                    }
                }
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
        }
        Ok(None)
    }
}

/// The failure with a code of GitLab, if it is one of a task there. That nobody did the task in its time, or nobody knows whether
/// somebody did, is the same to whoever asks as a GitLab that does not answer: later it may go better.
fn of_gitlab(task: &str, error: &TaskError) -> Option<TaskError> {
    if error.code.as_ref().is_some_and(|code| code.as_str().starts_with(CODES)) {
        return Some(error.clone());
    }
    let code = match error.kind {
        ErrorKind::Expired | ErrorKind::TimedOut | ErrorKind::Lost | ErrorKind::NotFound | ErrorKind::OutOfMemory => {
            "gitlab_unavailable"
        }
        // A file, or what GitLab says, is too large to be kept.
        ErrorKind::OutputNotStorable => "gitlab_content",
        ErrorKind::Failed
        | ErrorKind::Cancelled
        | ErrorKind::CompileError
        | ErrorKind::UnknownEnvironment
        | ErrorKind::NotGranted => return None,
    };
    let code = ErrorCode::new(code).ok();
    task.starts_with(TASKS).then(|| error.clone().with_code(code))
}

/// The number of the compensation that is stuck, if one is.
fn not_undone(instance: &Instance) -> Option<u32> {
    let mut undone = instance.to_undo().into_iter();
    let stuck = undone.find(|compensation| compensation.status == CompensationStatus::Stuck)?;
    Some(stuck.undo.number)
}

fn reason(stuck: &Instance) -> String {
    match (&stuck.phase, stuck.parked.first()) {
        (Phase::Stuck { error, .. }, _) => error.message.clone(),
        (_, Some(parked)) => parked.reason.clone(),
        (_, None) => "somebody has to look at it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_did_in_its_time_is_a_gitlab_that_is_not_available() {
        let told = |task: &str, kind| {
            let failure = of_gitlab(task, &TaskError::new(kind, "why"));
            failure.map(|failure| (failure.code.map(|code| code.to_string()), failure.message))
        };
        let failure = |code: &str| Some((Some(code.to_owned()), "why".to_owned()));
        for kind in [
            ErrorKind::Expired,
            ErrorKind::TimedOut,
            ErrorKind::Lost,
            ErrorKind::NotFound,
        ] {
            assert_eq!(
                told("gitlab.revert_commit", kind),
                failure("gitlab_unavailable"),
                "{kind:?}"
            );
            assert_eq!(told("celery", kind), None, "{kind:?}");
        }
        assert_eq!(
            told("gitlab.get_file", ErrorKind::OutputNotStorable),
            failure("gitlab_content")
        );
        for kind in [ErrorKind::Failed, ErrorKind::Cancelled] {
            assert_eq!(told("gitlab.get_file", kind), None, "somebody has to look at it");
        }
        let refused = TaskError::new(ErrorKind::Failed, "no").with_code(ErrorCode::new("gitlab_refused").ok());
        assert_eq!(of_gitlab("gitlab.commit", &refused), Some(refused.clone()));
    }
}
