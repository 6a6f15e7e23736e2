//! The identifiers of the domain. They are made elsewhere: this crate has no source of chance.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text::checked_text;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }
    };
}

identifier! {
    /// A task; a UUIDv7, so that the order of ids is the order of creation.
    TaskId
}

identifier! {
    /// Tasks that belong together; a UUIDv7, so that the order of ids is the order of creation.
    GroupId
}

identifier! {
    /// One life of one worker process: a restarted worker is another worker.
    WorkerId
}

identifier! {
    /// A schedule; a UUIDv7.
    ScheduleId
}

identifier! {
    /// A saga; a UUIDv7, so that the order of ids is the order of creation.
    SagaId
}

/// The longest name of a task or an environment, and the longest target, in bytes.
pub const NAME_MAX_LENGTH: usize = 100;

/// The text is empty, too long, or has a character outside `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must match [A-Za-z0-9._-]{{1,100}}")]
pub struct InvalidName;

pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_MAX_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether a URL takes it for a step to where it is, or to what is above, however it is escaped: nothing in a path can have this name.
pub fn is_step_of_a_path(text: &str) -> bool {
    matches!(text, "." | "..")
}

/// Of a [reference](is_reference).
pub const REFERENCE_MAX_CHARACTERS: usize = 200;

/// Whether callers may know something by this text: a correlation id, the id of an event. It is a key of indexes, and may have to stand
/// in an address.
pub fn is_reference(text: &str) -> bool {
    // None has more bytes than four of each character.
    text.len() <= 4 * REFERENCE_MAX_CHARACTERS
        && (1..=REFERENCE_MAX_CHARACTERS).contains(&text.chars().count())
        && !text.contains('\0')
        && !is_step_of_a_path(text)
}

/// What is to be said of one that is none.
pub fn reference_rule() -> String {
    format!("must have 1 to {REFERENCE_MAX_CHARACTERS} characters, none of them U+0000, and not be . or ..")
}

checked_text! {
    /// What is to be run: the name of a handler or an executor, such as `python` or `email.send`.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    TaskName, is_name, InvalidName: InvalidName
}

checked_text! {
    /// Who is to run it: workers serve targets, and each target has a queue of its own.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    Target, is_name, InvalidName: InvalidName
}

checked_text! {
    /// Packages for code that workers have ready, such as `reports`.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    EnvironmentName, is_name, InvalidName: InvalidName
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::DefinitionName;

    #[test]
    fn a_name_has_one_to_a_hundred_plain_characters() {
        assert!(TaskName::new("email.send-2_x").is_ok());
        assert!(TaskName::new("x".repeat(100)).is_ok());
        for wrong in ["", "a b", "a/b", "é", "a\0", &"x".repeat(101)] {
            assert_eq!(TaskName::new(wrong.to_owned()), Err(InvalidName), "{wrong:?}");
            let read: Result<Target, _> = serde_json::from_value(wrong.into());
            assert!(read.is_err_and(|error| error.to_string() == InvalidName.to_string()));
        }
        for step in [".", ".."] {
            assert!(is_step_of_a_path(step) && DefinitionName::new(step).is_err(), "{step}");
        }
        assert!(DefinitionName::new("...").is_ok() && !is_step_of_a_path("a.b"));
        for right in ["a", "Пример/%_ 1", "...", &"é".repeat(200)] {
            assert!(is_reference(right), "{right}");
        }
        for wrong in ["", ".", "..", "a\0", &"é".repeat(201), &"x".repeat(801)] {
            assert!(!is_reference(wrong), "{wrong}");
        }
        let target: Target = serde_json::from_str("\"gpu\"").expect("a name");
        assert_eq!(serde_json::to_string(&target).expect("a text"), "\"gpu\"");
    }
}
