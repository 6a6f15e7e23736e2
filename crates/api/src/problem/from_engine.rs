//! What the engine refuses, in the words of the wire.

use axum::http::header;
use orchestratum_core::SagaId;
use orchestratum_core::saga::{Fault, Faults, Rejection};
use orchestratum_engine::given::violations;
use orchestratum_engine::{Error, error};
use orchestratum_store as store;

use super::{Code, Problem};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(violations) => Self::invalid(Code::InvalidBody, violations),
            Error::TaskNotFound(_) => Self::new(Code::TaskNotFound, error.to_string()),
            Error::AttemptNotFound { .. } => Self::new(Code::AttemptNotFound, error.to_string()),
            Error::Refused { .. } => Self::new(Code::IllegalTransition, error.to_string()),
            Error::VersionMismatch { task, current } => Self::new(
                Code::VersionMismatch,
                format!("task {task} has the ETag \"{current}\" now"),
            ),
            Error::IdempotencyKeyReused => Self::new(Code::IdempotencyKeyReused, error.to_string()),
            Error::Gone { .. } => Self::new(Code::TaskGone, error.to_string()),
            Error::IdTaken { .. } => Self::new(Code::TaskExists, error.to_string()),
            Error::ScheduleNotFound(_) => Self::new(Code::ScheduleNotFound, error.to_string()),
            Error::ScheduleVersionMismatch { schedule, current } => Self::new(
                Code::VersionMismatch,
                format!("schedule {schedule} has the ETag \"{current}\" now"),
            ),
            Error::ScheduleGone { .. } => Self::new(Code::ScheduleGone, error.to_string()),
            Error::ScheduleUnmade { .. } => Self::new(Code::ScheduleUnmade, error.to_string()),
            Error::GroupNotFound(_) => Self::new(Code::GroupNotFound, error.to_string()),
            Error::GroupGone { .. } => Self::new(Code::GroupGone, error.to_string()),
            Error::SagaGone { .. } => Self::new(Code::SagaGone, error.to_string()),
            Error::GroupIdTaken { .. } => Self::new(Code::GroupExists, error.to_string()),
            Error::GroupRefused { .. } => Self::new(Code::IllegalGroupStatus, error.to_string()),
            Error::InvalidDefinition(faults) => Self::invalid_definition(faults),
            Error::OtherDefinitionName { .. } => {
                let fault = Fault::new("/name", format!("{error}, as the path says"));
                Self::invalid_definition(Faults(vec![fault]))
            }
            Error::DefinitionNotFound { .. } => Self::new(Code::DefinitionNotFound, error.to_string()),
            Error::SagaNotFound(_) => Self::new(Code::SagaNotFound, error.to_string()),
            Error::SagaCannotStart { ref rejection, .. } => unstarted(&error, rejection),
            Error::SagaRejected { ref rejection, .. } => rejected(&error, rejection),
            Error::SagaUnmovable { ref faults, .. } => match violations(faults) {
                Some(violations) => Self::invalid(Code::InvalidBody, violations),
                None => Self::new(Code::IllegalSagaStatus, error.to_string()),
            },
            Error::SagaVersionMismatch {
                saga,
                expected,
                current,
            } => Self::new(Code::VersionMismatch, saga_moved_on(saga, &expected, current)),
            Error::SagaAwaitsNothing { .. } | Error::SagaQuestionIsOver { .. } => {
                Self::new(Code::IllegalSagaStatus, error.to_string())
            }
            Error::NothingParked { .. } => Self::new(Code::NothingParked, error.to_string()),
            Error::EventForNobody { .. } => Self::new(Code::NoSagaForEvent, error.to_string()),
            Error::EventNotTaken { .. } => taking(Code::EventNotTaken, &error),
            Error::EventIdReused { .. } => Self::new(Code::EventIdReused, error.to_string()),
            Error::KeyNotFound(_) => Self::new(Code::KeyNotFound, error.to_string()),
            Error::Overloaded
            | Error::TooManyFollowers
            | Error::TooManyFollowersOfOneKey { .. }
            | Error::TooManyExternalWorkers { .. }
            | Error::TooManyWaitingClaims { .. }
            | Error::TooManyWaitingClaimsOfOneKey { .. } => Self::new(Code::Overloaded, error.to_string()),
            Error::ClaimedByAnother { .. } => Self::new(Code::ClaimedByAnother, error.to_string()),
            Error::AttemptOver { .. } => Self::new(Code::AttemptOver, error.to_string()),
            Error::GitlabNotConfigured
            | Error::Gitlab(_)
            | Error::GitlabContent { .. }
            | Error::SagaWithoutBranch { .. }
            | Error::SagaRefusedByGitlab { .. }
            | Error::SagaStuck { .. }
            | Error::BalanceBegunOtherwise { .. } => from_gitlab(&error),
            Error::Stopping => Self::new(Code::Stopping, error.to_string()),
            Error::Store(cause) => from_store(&cause),
            Error::Broker(_) | Error::Panicked => Self::internal(&error),
        }
    }
}

/// With both versions. A weak tag, or one of somebody else, names none.
fn saga_moved_on(saga: SagaId, expected: &[u64], current: u64) -> String {
    let named: Vec<String> = expected.iter().map(|version| format!("\"{version}\"")).collect();
    let named = if named.is_empty() {
        "none of its versions".to_owned()
    } else {
        named.join(", ")
    };
    format!("saga {saga} has the ETag \"{current}\" now; If-Match names {named}")
}

/// It does not begin so.
fn unstarted(error: &Error, rejection: &Rejection) -> Problem {
    let code = match rejection {
        Rejection::NotTaken { .. } | Rejection::NoGuardHolds { .. } => Code::EventNotTaken,
        Rejection::CannotStart { broken, .. } => {
            return Problem::new(Code::SagaCannotStart, error.to_string()).of(broken.clone());
        }
        _ => Code::SagaCannotStart,
    };
    taking(code, error)
}

/// What was brought to a saga is not taken.
fn rejected(error: &Error, rejection: &Rejection) -> Problem {
    let code = match rejection {
        Rejection::NotTaken { .. }
        | Rejection::Unknown { .. }
        | Rejection::NoGuardHolds { .. }
        | Rejection::TooManyDeferred
        | Rejection::TooManyParked { .. } => Code::EventNotTaken,
        Rejection::InvalidContext(reason) => {
            return Problem::broken(Code::InvalidBody, "/context", reason.as_str());
        }
        _ => Code::IllegalSagaStatus,
    };
    taking(code, error)
}

/// With what would be taken, where that is known.
fn taking(code: Code, error: &Error) -> Problem {
    let problem = Problem::new(code, error.to_string());
    match error.takes() {
        Some(takes) => problem.taking(takes.into_iter().map(ToString::to_string).collect()),
        None => problem,
    }
}

/// What GitLab, or a file in it, has against a call.
fn from_gitlab(error: &Error) -> Problem {
    let told = |code| Problem::new(code, error.to_string());
    match error {
        Error::Gitlab(failure) => {
            let problem = told(Code::of_gitlab(failure.code()).unwrap_or(Code::GitlabUnreadable));
            match failure.retry_after() {
                // Whole seconds, and not sooner.
                Some(after) => problem.with_header(header::RETRY_AFTER, (after.as_secs() + 1).into()),
                None => problem,
            }
        }
        Error::GitlabContent { faults, .. } => Problem {
            faults: faults.0.iter().cloned().map(super::Fault::from).collect(),
            ..told(Code::GitlabContent)
        },
        Error::BalanceBegunOtherwise { saga, different } => {
            told(Code::BalanceBegunOtherwise).of_saga(*saga).of(different.clone())
        }
        Error::SagaWithoutBranch { .. } => told(Code::SagaWithoutBranch),
        Error::SagaRefusedByGitlab { saga, failure } => {
            let code = failure.code.as_ref().and_then(|code| Code::of_gitlab(code.as_str()));
            told(code.unwrap_or(Code::GitlabUnreadable)).of_saga(*saga)
        }
        Error::SagaStuck { saga, .. } => told(Code::IllegalSagaStatus).of_saga(*saga),
        _ => told(Code::GitlabNotConfigured),
    }
}

fn from_store(error: &store::Error) -> Problem {
    match error {
        store::Error::Unavailable(_) | store::Error::TooMuchAtOnce => {
            tracing::warn!(error = %error::chain(error), "the database did not answer");
            Problem::new(
                Code::DatabaseUnavailable,
                "try again in a moment; see the page of this error for what a change may have done",
            )
        }
        store::Error::Rejected(_) => {
            tracing::warn!(error = %error::chain(error), "the database refused a value");
            Problem::new(
                Code::NotStorable,
                "the database refused a value of this request; nothing was stored",
            )
        }
        store::Error::Corrupt { .. }
        | store::Error::NotCompiled(_)
        | store::Error::Migration(_)
        | store::Error::SchemaVersion { .. }
        | store::Error::Owned { .. }
        | store::Error::ClockWouldGoBack { .. }
        | store::Error::Url(_)
        | store::Error::Statement(_) => Problem::internal(error),
    }
}
