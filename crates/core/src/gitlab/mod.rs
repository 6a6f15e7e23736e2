//! What stands in the URLs of GitLab, and in what is sent there.
//!
//! Each is checked once, where it enters. A text such as `a/../../users` that reached a URL could turn a request into another one,
//! which would be sent with our token; so there is no way from an unchecked text to a request.

mod assignee;
mod branch_name;
mod commit_id;
mod commit_message;
mod file_path;
mod geometry;
mod invalid;
mod issue_state;
mod project_path;
mod reference;
mod rules;
mod step_id;
mod title;
mod username;

pub use assignee::Assignee;
pub use branch_name::BranchName;
pub use commit_id::CommitId;
pub use commit_message::CommitMessage;
pub use file_path::FilePath;
pub use geometry::Geometry;
pub use invalid::InvalidName;
pub use issue_state::IssueState;
pub use project_path::ProjectPath;
pub use reference::Reference;
pub use rules::turns_text_around;
pub use step_id::{STEP_TRAILER, StepId};
pub use title::Title;
pub use username::Username;

/// A text that a check lets through, and the only ways to make one.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// Which rule the text breaks. The text itself is not repeated.
            pub fn new(text: impl Into<String>) -> Result<Self, $crate::gitlab::InvalidName> {
                let text = text.into();
                match $check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(rule) => Err($crate::gitlab::InvalidName { what: $what, rule }),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::gitlab::InvalidName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::gitlab::InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}
use checked_text;
