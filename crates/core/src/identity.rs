//! The identifiers of the domain. They are made elsewhere: this crate has no source of chance.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

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
    /// One life of one worker process: a restarted worker is another worker.
    WorkerId
}

/// The longest task name and target, in bytes.
pub const NAME_MAX_LENGTH: usize = 100;

/// The text is empty, too long, or has a character outside `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must match [A-Za-z0-9._-]{{1,100}}")]
pub struct InvalidName;

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// [`InvalidName`] unless the text matches `[A-Za-z0-9._-]{1,100}`.
            pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, InvalidName> {
                if is_name(text.as_ref()) { Ok(Self(text.into())) } else { Err(InvalidName) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// What is to be run: the name of a handler or an executor, such as `python` or `email.send`.
    TaskName
}

name! {
    /// Who is to run it: workers serve targets, and each target has a queue of its own.
    Target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_to_a_hundred_plain_characters() {
        assert!(TaskName::new("email.send-2_x").is_ok());
        assert!(TaskName::new("x".repeat(100)).is_ok());
        for wrong in ["", "a b", "a/b", "é", "a\0", &"x".repeat(101)] {
            assert_eq!(TaskName::new(wrong.to_owned()), Err(InvalidName), "{wrong:?}");
        }
    }
}
