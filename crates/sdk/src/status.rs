//! How a command stands, and how it ended.

use orchestratum_core::JsonText;
use orchestratum_core::task::TaskError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use orchestratum_core::task::TaskStatus as State;

use crate::{CommandId, Error};

/// A command as it stands.
#[derive(Debug, Clone)]
pub struct Status {
    pub id: CommandId,
    pub name: String,
    pub target: String,
    pub state: State,
    /// The number of the newest attempt, 0 before the first.
    pub attempt: u32,
    pub retries_left: u16,
    /// How far the newest attempt is, from 0 to 1, by its own word.
    pub progress: Option<f64>,
    /// Why it has no output.
    pub fault: Option<Fault>,
    pub(crate) output: Option<JsonText>,
}

impl Status {
    /// What the handler answered; `None` unless it is `Completed`.
    ///
    /// # Errors
    /// [`Error::Output`] if it is of another shape.
    pub fn output<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let output = self.output.as_ref().map(|output| {
            output.parse().map_err(|error: serde_json::Error| Error::Output {
                command: self.id,
                reason: error.to_string(),
            })
        });
        output.transpose()
    }

    /// How it ended; `None` while it has not.
    ///
    /// # Errors
    /// [`Error::Output`] if its output is of another shape.
    pub fn outcome<T: DeserializeOwned>(&self) -> Result<Option<Outcome<T>>, Error> {
        let fault = || {
            self.fault.clone().unwrap_or_else(|| Fault {
                kind: self.state.as_str().to_owned(),
                message: String::new(),
                code: None,
            })
        };
        Ok(Some(match self.state {
            State::Pending | State::InProgress => return Ok(None),
            State::Completed => Outcome::Success(self.output()?.ok_or_else(|| Error::Output {
                command: self.id,
                reason: "there is none".to_owned(),
            })?),
            State::Cancelled => Outcome::Cancelled(fault()),
            State::Expired => Outcome::Expired(fault()),
            State::Failed => match fault() {
                fault if fault.kind == "TimedOut" => Outcome::TimedOut(fault),
                fault if fault.kind == "NotFound" => Outcome::NotFound(fault),
                fault => Outcome::Failed(fault),
            },
        }))
    }
}

/// Why a command has no output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// `Failed`, `TimedOut`, `NotFound`, `Cancelled`, `Expired`, `Lost` or `OutputNotStorable`.
    pub kind: String,
    pub message: String,
    /// A short word for a program, where the handler gave one.
    #[serde(default)]
    pub code: Option<String>,
}

impl From<&TaskError> for Fault {
    fn from(error: &TaskError) -> Self {
        Self {
            kind: error.kind.as_str().to_owned(),
            message: error.message.clone(),
            code: error.code.as_ref().map(|code| code.as_str().to_owned()),
        }
    }
}

/// What came after a command.
#[derive(Debug, Clone)]
pub struct Followers {
    pub commands: Vec<Status>,
    pub missing: Vec<MissingFollower>,
}

/// What was to come after a command and could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MissingFollower {
    pub name: String,
    pub reason: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome<T> {
    Success(T),
    /// No retry was left, or it has failed for good.
    Failed(Fault),
    Cancelled(Fault),
    /// Nobody has a handler for it.
    NotFound(Fault),
    /// Its last attempt took too long.
    TimedOut(Fault),
    /// Its time-to-live ended.
    Expired(Fault),
}

impl<T> Outcome<T> {
    pub fn success(self) -> Option<T> {
        match self {
            Self::Success(output) => Some(output),
            Self::Failed(_) | Self::Cancelled(_) | Self::NotFound(_) | Self::TimedOut(_) | Self::Expired(_) => None,
        }
    }

    /// Why there is no output.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Success(_) => None,
            Self::Failed(fault)
            | Self::Cancelled(fault)
            | Self::NotFound(fault)
            | Self::TimedOut(fault)
            | Self::Expired(fault) => Some(fault),
        }
    }
}
