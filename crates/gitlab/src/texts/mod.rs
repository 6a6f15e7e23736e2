//! What people read in GitLab.

mod commit_message;
mod title;

pub use commit_message::CommitMessage;
pub use title::Title;
