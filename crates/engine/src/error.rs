//! Why a use case did not do what was asked.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use orchestratum_broker as broker;
use orchestratum_core::gitlab::{BranchName, FilePath, ProjectPath};
use orchestratum_core::saga::{DefinitionName, EventName, Faults, Rejection, SagaStatus, StateName};
use orchestratum_core::task::{GroupStatus, Refusal, TaskError, TaskStatus, Violations};
use orchestratum_core::{GroupId, SagaId, ScheduleId, TaskId};
use orchestratum_store as store;

use crate::batcher;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks rules.
    #[error("the request breaks {} rule(s)", .0.0.len())]
    Invalid(Violations),
    #[error("there is no task {0}")]
    TaskNotFound(TaskId),
    #[error("task {task} has no attempt {attempt}; {}", newest_attempt(*.newest))]
    AttemptNotFound { task: TaskId, attempt: u32, newest: u32 },
    /// The task is not in a state for that.
    #[error("task {task} is {status}: {refusal}")]
    Refused {
        task: TaskId,
        refusal: Refusal,
        status: TaskStatus,
    },
    /// `If-Match` named another version.
    #[error("task {task} is at version {current}")]
    VersionMismatch { task: TaskId, current: u32 },
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used before with another body")]
    IdempotencyKeyReused,
    /// The idempotency key made a task that has been deleted since.
    #[error("task {task}, which this idempotency key made, was deleted")]
    Gone { task: TaskId },
    #[error("another task has the id {task}")]
    IdTaken { task: TaskId },
    #[error("there is no schedule {0}")]
    ScheduleNotFound(ScheduleId),
    /// `If-Match` named another version.
    #[error("schedule {schedule} is at version {current}")]
    ScheduleVersionMismatch { schedule: ScheduleId, current: u32 },
    /// The idempotency key made a schedule that has been deleted since.
    #[error("schedule {schedule}, which this idempotency key made, was deleted")]
    ScheduleGone { schedule: ScheduleId },
    /// Its task breaks a rule, with the values of now.
    #[error("schedule {schedule} cannot make its task: {reason}")]
    ScheduleUnmade { schedule: ScheduleId, reason: String },
    #[error("there is no group {0}")]
    GroupNotFound(GroupId),
    /// The idempotency key made a group that has been deleted since.
    #[error("group {group}, which this idempotency key made, was deleted")]
    GroupGone { group: GroupId },
    #[error("another group has the id {group}")]
    GroupIdTaken { group: GroupId },
    /// The group is not in a state for that.
    #[error("group {group} is {status} and cannot be {wanted}")]
    GroupRefused {
        group: GroupId,
        status: GroupStatus,
        wanted: &'static str,
    },
    #[error("the definition breaks {} rule(s)", .0.0.len())]
    InvalidDefinition(Faults),
    #[error("the definition calls itself {found}, not {expected}")]
    OtherDefinitionName {
        expected: DefinitionName,
        found: DefinitionName,
    },
    #[error("there is no {}", definition_version(.name, *.version))]
    DefinitionNotFound { name: DefinitionName, version: Option<u32> },
    #[error("there is no saga {0}")]
    SagaNotFound(SagaId),
    /// The idempotency key made a saga that has been deleted since.
    #[error("saga {saga}, which this idempotency key made, was deleted")]
    SagaGone { saga: SagaId },
    #[error("a saga {definition} cannot start so: {}", unstarted(.rejection))]
    SagaCannotStart {
        definition: DefinitionName,
        rejection: Rejection,
    },
    /// The saga does not take what was brought.
    #[error("saga {saga} is {status} in {state}: {rejection}")]
    SagaRejected {
        saga: SagaId,
        status: SagaStatus,
        state: StateName,
        rejection: Rejection,
    },
    /// It cannot go on by that version of its definition: one without a pointer says why it never can.
    #[error("saga {saga} cannot go on by version {version} of its definition: {}", in_words(.faults))]
    SagaUnmovable { saga: SagaId, version: u32, faults: Faults },
    /// `If-Match` named another version.
    #[error("saga {saga} is at version {current}, and not at {expected:?}")]
    SagaVersionMismatch {
        saga: SagaId,
        /// Any of them would do.
        expected: Vec<u64>,
        current: u64,
    },
    #[error("saga {saga} is {status} in {state}, and asks nobody for an answer")]
    SagaAwaitsNothing {
        saga: SagaId,
        status: SagaStatus,
        state: StateName,
    },
    /// What was to be answered was asked in a state that it has left.
    #[error("what saga {saga} had asked is answered, or was taken back: it is {status} in {state}. Read it again")]
    SagaQuestionIsOver {
        saga: SagaId,
        status: SagaStatus,
        state: StateName,
    },
    /// The id of an event belongs to another one.
    #[error("saga {saga} has taken another event of the id {event:?}")]
    EventIdReused { saga: SagaId, event: String },
    #[error("nothing of saga {saga} is parked under {event:?}")]
    NothingParked { saga: SagaId, event: String },
    #[error("no saga has the correlation id {correlation_id:?}, and none begins on {event}")]
    EventForNobody { event: EventName, correlation_id: String },
    #[error("no saga with the correlation id {correlation_id:?} takes {event}: {}", refusals(.refused))]
    EventNotTaken {
        event: EventName,
        correlation_id: String,
        refused: Vec<(SagaId, Rejection)>,
    },
    #[error("there is no API key {0}")]
    KeyNotFound(String),
    /// More is waiting than can be served soon.
    #[error("too many requests are waiting")]
    Overloaded,
    /// Following takes a connection and memory for long.
    #[error("more callers follow logs or changes than this process serves at a time (`api.max_followers`)")]
    TooManyFollowers,
    /// One key is not to take the places of all others.
    #[error(
        "this key follows logs or changes {most} times already, which is its share of the places (`api.max_followers`)"
    )]
    TooManyFollowersOfOneKey { most: usize },
    /// Every claim under another name, or of other names, makes another worker.
    #[error(
        "this key has {most} live external workers already: a worker keeps its name, and what it offers, from claim to claim"
    )]
    TooManyExternalWorkers { most: usize },
    /// Waiting takes a connection and memory for long.
    #[error("more claims wait for tasks than this process holds at a time ({most})")]
    TooManyWaitingClaims { most: usize },
    /// One key is not to take the places of all others.
    #[error(
        "{most} claims of this key wait for tasks already, or fewer that offer more than a hundred names and targets each"
    )]
    TooManyWaitingClaimsOfOneKey { most: usize },
    /// Only whoever claimed an attempt may say how it goes.
    #[error("attempt {attempt} of task {task} was not claimed with this API key")]
    ClaimedByAnother { task: TaskId, attempt: u32 },
    #[error("attempt {attempt} of task {task} is over, and did not end in this way: stop working on it")]
    AttemptOver { task: TaskId, attempt: u32 },
    #[error(
        "no GitLab is named: set gitlab.url and gitlab.token (ORCHESTRATUM__GITLAB__URL, ORCHESTRATUM__GITLAB__TOKEN)"
    )]
    GitlabNotConfigured,
    /// With what GitLab said.
    #[error(transparent)]
    Gitlab(#[from] orchestratum_gitlab::Error),
    /// A file is not what it should be. No part of it is told.
    #[error("the file {path} of {project} on {branch} has {} fault(s): {}", .faults.0.len(), told(.faults))]
    GitlabContent {
        project: ProjectPath,
        branch: BranchName,
        path: FilePath,
        faults: Violations,
    },
    #[error("saga {saga} works on no branch of GitLab: {reason}")]
    SagaWithoutBranch { saga: SagaId, reason: String },
    /// A task of it failed in GitLab, and it waits for somebody.
    #[error("saga {saga} cannot go on: {}", .failure.message)]
    SagaRefusedByGitlab { saga: SagaId, failure: TaskError },
    /// It waits for somebody who looks at it.
    #[error("saga {saga} cannot go on, it is {status}: {reason}")]
    SagaStuck {
        saga: SagaId,
        status: SagaStatus,
        reason: String,
    },
    #[error(
        "the balance that is not over is saga {saga}, and was begun otherwise: {}; leave out what differs, or cancel that one first",
        told(.different)
    )]
    BalanceBegunOtherwise { saga: SagaId, different: Violations },
    #[error("the process is stopping")]
    Stopping,
    /// A fault of ours. Whether the work was done is not known.
    #[error("the work on the request panicked")]
    Panicked,
    #[error("the store failed")]
    Store(#[source] Arc<store::Error>),
    #[error("the broker failed")]
    Broker(#[source] broker::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        Self::Broker(error)
    }
}

impl From<batcher::Error> for Error {
    fn from(error: batcher::Error) -> Self {
        match error {
            batcher::Error::Overloaded => Self::Overloaded,
            batcher::Error::Stopped => Self::Stopping,
            batcher::Error::Panicked => Self::Panicked,
            batcher::Error::Store(error) => Self::Store(error),
        }
    }
}

impl Error {
    /// The events that would be taken where another was not.
    pub fn takes(&self) -> Option<Vec<&EventName>> {
        match self {
            Self::SagaCannotStart { rejection, .. } | Self::SagaRejected { rejection, .. } => {
                rejection.takes().map(|takes| takes.iter().collect())
            }
            Self::EventNotTaken { refused, .. } => {
                let takes = refused.iter().filter_map(|(_, rejection)| rejection.takes());
                let takes: BTreeSet<&EventName> = takes.flatten().collect();
                Some(takes.into_iter().collect())
            }
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Overloaded
            | Self::TooManyFollowers
            | Self::TooManyFollowersOfOneKey { .. }
            | Self::TooManyExternalWorkers { .. }
            | Self::TooManyWaitingClaims { .. }
            | Self::TooManyWaitingClaimsOfOneKey { .. }
            | Self::Stopping => true,
            // A URL stays what it is.
            Self::Broker(error) => !matches!(error, broker::Error::Url(_)),
            Self::Store(error) => error.is_transient(),
            Self::Gitlab(error) => error.is_transient(),
            Self::Invalid(_)
            | Self::TaskNotFound(_)
            | Self::AttemptNotFound { .. }
            | Self::Refused { .. }
            | Self::VersionMismatch { .. }
            | Self::IdempotencyKeyReused
            | Self::Gone { .. }
            | Self::IdTaken { .. }
            | Self::ScheduleNotFound(_)
            | Self::ScheduleVersionMismatch { .. }
            | Self::ScheduleGone { .. }
            | Self::ScheduleUnmade { .. }
            | Self::GroupNotFound(_)
            | Self::GroupGone { .. }
            | Self::GroupIdTaken { .. }
            | Self::GroupRefused { .. }
            | Self::InvalidDefinition(_)
            | Self::OtherDefinitionName { .. }
            | Self::DefinitionNotFound { .. }
            | Self::SagaNotFound(_)
            | Self::SagaGone { .. }
            | Self::SagaCannotStart { .. }
            | Self::SagaRejected { .. }
            | Self::SagaUnmovable { .. }
            | Self::SagaVersionMismatch { .. }
            | Self::SagaAwaitsNothing { .. }
            | Self::SagaQuestionIsOver { .. }
            | Self::EventIdReused { .. }
            | Self::NothingParked { .. }
            | Self::EventForNobody { .. }
            | Self::EventNotTaken { .. }
            | Self::KeyNotFound(_)
            | Self::ClaimedByAnother { .. }
            | Self::AttemptOver { .. }
            | Self::GitlabNotConfigured
            | Self::GitlabContent { .. }
            | Self::SagaWithoutBranch { .. }
            | Self::SagaRefusedByGitlab { .. }
            | Self::SagaStuck { .. }
            | Self::BalanceBegunOtherwise { .. }
            | Self::Panicked => false,
        }
    }
}

/// The first of them, in words.
fn told(faults: &Violations) -> String {
    faults.0.first().map_or_else(String::new, ToString::to_string)
}

fn definition_version(name: &DefinitionName, version: Option<u32>) -> String {
    match version {
        None => format!("saga definition {name}"),
        Some(version) => format!("version {version} of the saga definition {name}"),
    }
}

fn in_words(faults: &Faults) -> String {
    let faults: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

/// What stands before it says that it cannot start.
fn unstarted(rejection: &Rejection) -> String {
    match rejection {
        Rejection::CannotStart { reason, .. } => reason.clone(),
        rejection => rejection.to_string(),
    }
}

fn refusals(refused: &[(SagaId, Rejection)]) -> String {
    let refusals: Vec<String> = refused
        .iter()
        .map(|(saga, reason)| format!("saga {saga}: {reason}"))
        .collect();
    refusals.join("; ")
}

fn newest_attempt(newest: u32) -> String {
    match newest {
        0 => "none was made yet".to_owned(),
        newest => format!("the newest is {newest}"),
    }
}

/// An error with everything that caused it, for a log line. Some errors of others end with their cause already: it is
/// said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[test]
    fn a_broker_that_is_away_may_come_back_and_a_url_that_is_none_stays_so() {
        assert!(Error::Broker(broker::Error::Disconnected).is_transient());
        assert!(!Error::Broker(broker::Error::Url("it must begin with amqp://".to_owned())).is_transient());
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || io::Error::other("it broke");
        assert_eq!(chain(&Outer("reading", cause())), "reading: it broke");
        assert_eq!(chain(&Outer("reading: it broke", cause())), "reading: it broke");
    }
}
