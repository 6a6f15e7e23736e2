//! The words for where a task stands and how an attempt ended, as they are on the wire and in the database.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::json::JsonText;
use crate::task::error_code::ErrorCode;

/// Gives an enum its wire spelling and its stored number, each in one place.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code),+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The wire spelling.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant)),+
                }
            }

            /// The number in the database.
            pub const fn code(self) -> i16 {
                self as i16
            }

            /// `None` if no variant has this number: the row was written by a newer version, or is damaged.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::task::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|variant| variant.as_str() == text).ok_or_else(|| $crate::task::UnknownWord {
                    allowed: Self::ALL.iter().map(|variant| variant.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

pub(crate) use coded;

/// The text is none of the words of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {allowed}")]
pub struct UnknownWord {
    pub allowed: String,
}

coded! {
    /// Where a task stands.
    TaskStatus {
        /// Waits for its time, a retry, or a worker.
        Pending = 0,
        /// A worker holds it.
        InProgress = 1,
        Completed = 2,
        Failed = 3,
        /// Its time-to-live passed, in the queue or while it ran.
        Expired = 4,
        Cancelled = 5,
    }
}

impl TaskStatus {
    /// Whether the run is over. Only a manual retry, which is a new run, leaves such a status.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::InProgress => false,
            Self::Completed | Self::Failed | Self::Expired | Self::Cancelled => true,
        }
    }
}

coded! {
    /// How one attempt ended.
    AttemptOutcome {
        Success = 0,
        Failed = 1,
        /// Its own timeout or the time-to-live of the task passed.
        TimedOut = 2,
        Cancelled = 3,
        /// No handler of that name.
        NotFound = 4,
        /// The worker died, or could no longer show that it lives.
        Lost = 5,
        OutOfMemory = 6,
        /// Handed back unfinished: the worker drained, or never started it.
        Released = 7,
    }
}

impl AttemptOutcome {
    /// Whether it may have done something that it told nobody of. One that failed has told that it did not do it.
    pub const fn leaves_doubt(self) -> bool {
        match self {
            Self::Success | Self::TimedOut | Self::Cancelled | Self::Lost | Self::OutOfMemory | Self::Released => true,
            Self::Failed | Self::NotFound => false,
        }
    }
}

coded! {
    /// What kind of error a task carries.
    ErrorKind {
        Failed = 0,
        TimedOut = 1,
        Expired = 2,
        Cancelled = 3,
        NotFound = 4,
        Lost = 5,
        OutOfMemory = 6,
        /// The handler succeeded, but what it returned is too large or cannot be stored.
        OutputNotStorable = 7,
        /// The code is none that its compiler takes: the message has the places.
        CompileError = 8,
        /// The worker has no such environment as the task asks for: the message has those that it has.
        UnknownEnvironment = 9,
        /// The task asks for a limit or for the network, which its worker gives to none: the message says what it gives.
        NotGranted = 10,
    }
}

/// Why a task, or an attempt of it, did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    pub kind: ErrorKind,
    /// For a person: the traceback, the exit code, the limit that was met.
    pub message: String,
    /// For a program, where whoever failed gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
}

impl TaskError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
        }
    }

    #[must_use]
    pub fn with_code(self, code: Option<ErrorCode>) -> Self {
        Self { code, ..self }
    }

    /// As expressions see it: with all of its fields, so that none is missing where it is asked for.
    pub(crate) fn as_seen(&self) -> JsonText {
        let code = self.code.as_ref().map(ErrorCode::as_str);
        JsonText::trusted(json!({"kind": self.kind.as_str(), "message": self.message, "code": code}).to_string())
    }
}
