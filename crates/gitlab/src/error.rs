//! Why something is not done, with what GitLab said.

use std::fmt;
use std::time::Duration;

use orchestratum_core::gitlab::{CommitId, FilePath};

use crate::Said;

/// What was wanted, and what stood against it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {wanted}: {problem}")]
pub struct Error {
    wanted: String,
    problem: Box<Problem>,
    may_be_done: bool,
}

impl Error {
    pub(crate) fn new(wanted: String, problem: Problem) -> Self {
        Self {
            wanted,
            problem: Box::new(problem),
            may_be_done: false,
        }
    }

    pub(crate) fn of_unclear_end(self) -> Self {
        Self {
            may_be_done: true,
            ..self
        }
    }

    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Whether what should be made may be there nevertheless. The next attempt finds it when it is told of this one.
    pub fn may_be_done(&self) -> bool {
        self.may_be_done
    }

    /// Whether the same may go better later.
    pub fn is_transient(&self) -> bool {
        self.problem.is_transient()
    }

    /// A word for a program: `gitlab_not_found` and its like.
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }

    /// How long GitLab asks not to be asked again, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem.retry_after()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("GitLab cannot be reached: {}", chain(.0))]
    Unreachable(#[source] reqwest::Error),
    #[error("GitLab has not answered within {:.1} s", .after.as_secs_f64())]
    TimedOut { after: Duration },
    #[error("the answer of GitLab broke off: {}", chain(.0))]
    BrokenOff(#[source] reqwest::Error),
    #[error("GitLab is not available: {said}")]
    Unavailable { said: Said, retry_after: Option<Duration> },
    #[error("GitLab takes no more requests for now: {said}")]
    Limited { said: Said, retry_after: Option<Duration> },
    #[error("GitLab does not accept the token: {0}")]
    Unauthorized(Said),
    #[error("the token has no right to it: {0}")]
    Forbidden(Said),
    #[error("there is no such thing, or the token may not see it: {0}")]
    NotFound(Said),
    #[error("{0}")]
    Conflict(Conflict),
    #[error("GitLab refuses it: {0}")]
    Refused(Said),
    #[error(
        "GitLab sends us elsewhere, where the token does not go; the URL or the name of the project has changed: {0}"
    )]
    Moved(Said),
    #[error("the answer of GitLab cannot be read: {0}")]
    Unreadable(String),
    #[error("the answer of GitLab has more than {max_bytes} bytes")]
    AnswerTooLarge { max_bytes: usize },
    #[error("the change has {bytes} bytes, more than {max_bytes}")]
    ChangeTooLarge { bytes: usize, max_bytes: usize },
    #[error("a commit changes at least one file and at most {max}")]
    ChangeCount { max: usize },
    #[error("the branch has more commits than are looked through for it")]
    SearchTooLong,
    #[error("there is nothing to take back: {0}")]
    NothingToRevert(&'static str),
}

/// Somebody else was faster: a file, or a branch, is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    File {
        path: FilePath,
        expected: Expected,
        found: Expected,
    },
    Branch {
        expected: CommitId,
        found: CommitId,
    },
    /// It was merged, or the target is gone, or something else that a person has to look at.
    Revert(Said),
}

/// How a file should be, or is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Absent,
    LastChangedBy(CommitId),
}

impl Problem {
    /// Whether the same may go better later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::BrokenOff(_)
            | Self::Unavailable { .. }
            | Self::Limited { .. } => true,
            Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Refused(_)
            | Self::Moved(_)
            | Self::Unreadable(_)
            | Self::AnswerTooLarge { .. }
            | Self::ChangeTooLarge { .. }
            | Self::ChangeCount { .. }
            | Self::SearchTooLong
            | Self::NothingToRevert(_) => false,
        }
    }

    /// A word for a program, which stays what it is.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::BrokenOff(_)
            | Self::Unavailable { .. }
            | Self::Limited { .. } => "gitlab_unavailable",
            Self::Unauthorized(_) => "gitlab_unauthorized",
            Self::Forbidden(_) => "gitlab_forbidden",
            Self::NotFound(_) => "gitlab_not_found",
            Self::Conflict(_) => "gitlab_conflict",
            Self::Refused(_)
            | Self::Moved(_)
            | Self::ChangeTooLarge { .. }
            | Self::ChangeCount { .. }
            | Self::SearchTooLong
            | Self::NothingToRevert(_) => "gitlab_refused",
            Self::Unreadable(_) | Self::AnswerTooLarge { .. } => "gitlab_unreadable",
        }
    }

    /// What GitLab said, if it said something.
    pub fn said(&self) -> Option<&Said> {
        match self {
            Self::Unavailable { said, .. }
            | Self::Limited { said, .. }
            | Self::Unauthorized(said)
            | Self::Forbidden(said)
            | Self::NotFound(said)
            | Self::Conflict(Conflict::Revert(said))
            | Self::Refused(said)
            | Self::Moved(said) => Some(said),
            Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::BrokenOff(_)
            | Self::Unreadable(_)
            | Self::Conflict(Conflict::File { .. } | Conflict::Branch { .. })
            | Self::AnswerTooLarge { .. }
            | Self::ChangeTooLarge { .. }
            | Self::ChangeCount { .. }
            | Self::SearchTooLong
            | Self::NothingToRevert(_) => None,
        }
    }

    /// How long GitLab, or a proxy before it, asks not to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a request that made something may have done so although this came instead of a good answer. One that cannot be read
    /// says that it did, in words that we do not understand.
    pub(crate) fn leaves_unclear(&self) -> bool {
        match self {
            Self::TimedOut { .. }
            | Self::BrokenOff(_)
            | Self::Unavailable { .. }
            | Self::Unreadable(_)
            | Self::AnswerTooLarge { .. } => true,
            Self::Unreachable(_)
            | Self::Limited { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Refused(_)
            | Self::Moved(_)
            | Self::ChangeTooLarge { .. }
            | Self::ChangeCount { .. }
            | Self::SearchTooLong
            | Self::NothingToRevert(_) => false,
        }
    }

    /// Whether an earlier request of the same step can be the reason.
    pub(crate) fn may_come_of_ourselves(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::Unreadable(_) | Self::AnswerTooLarge { .. }
        )
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, expected, found } => {
                write!(f, "the file {path} should be {expected}, and is {found}")
            }
            Self::Branch { expected, found } => write!(f, "the branch should be at {expected}, and is at {found}"),
            Self::Revert(said) => write!(f, "the commit cannot be reverted: {said}"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::LastChangedBy(commit) => write!(f, "as commit {commit} left it"),
        }
    }
}

/// What lies behind a failed connection, without its URL.
fn chain(error: &reqwest::Error) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        told.push_str(": ");
        told.push_str(&error.to_string());
        source = error.source();
    }
    told
}
