use orchestratum_core::InvalidJson;
use orchestratum_core::gitlab::InvalidName;
use orchestratum_core::task::{BuiltIn, Ending, ErrorCode, Violations};
use orchestratum_gitlab::Error;
use orchestratum_store::Evidence;

use crate::executors::Ended;

/// Why there is no output.
pub(super) enum Failure {
    Input(Violations),
    NoStep(InvalidName),
    Gitlab(Error),
    /// A file is not what the task says it is.
    Content(String),
    /// A file of a commit is too large.
    TooLarge(String),
    NotStorable(InvalidJson),
    /// The branch has moved while its files were looked at.
    Moved,
}

impl Failure {
    pub(super) fn ended(self, built_in: BuiltIn) -> Ended {
        match self {
            Self::Input(broken) => Ended::refused(built_in, &broken),
            Self::NoStep(invalid) => failed(invalid.to_string(), false, "gitlab_refused"),
            Self::Gitlab(error) => failed(error.to_string(), error.is_transient(), error.code()),
            Self::Content(message) => failed(message, false, "gitlab_content"),
            Self::TooLarge(message) => failed(message, false, "gitlab_refused"),
            Self::Moved => {
                let message = "others change the branch faster than its files are looked at".to_owned();
                failed(message, true, "gitlab_conflict")
            }
            Self::NotStorable(invalid) => ended(Ending::OutputNotStorable {
                message: format!("the output {invalid}"),
            }),
        }
    }
}

fn failed(message: String, retryable: bool, code: &'static str) -> Ended {
    ended(Ending::Failed {
        message,
        retryable,
        code: ErrorCode::new(code).ok(),
    })
}

fn ended(ending: Ending) -> Ended {
    Ended {
        ending,
        evidence: Evidence::default(),
        interrupted: false,
    }
}

impl From<Violations> for Failure {
    fn from(broken: Violations) -> Self {
        Self::Input(broken)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Gitlab(error)
    }
}

impl From<InvalidJson> for Failure {
    fn from(invalid: InvalidJson) -> Self {
        Self::NotStorable(invalid)
    }
}
