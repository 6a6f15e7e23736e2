//! The facade for GitLab: issues, files, commits, branches and merge requests, by its REST API.
//!
//! ```text
//!   caller ──typed names, a step's id──► Client ──one request at a time──► GitLab
//!                                          │  the answer is lost, a 5xx, a timeout
//!                                          └──► look for what was made ──► found: done │ not there: again
//! ```
//!
//! GitLab has no idempotency key. So whatever is made carries the id of the step that makes it where GitLab has a place for one, and
//! is looked for before anything is sent again: a commit by a trailer of its message, a merge request by its branches and a mark in
//! its description, a branch by its name. What a change of a file begins from is part of the change, and GitLab refuses it when
//! somebody else was faster. Start at [`Client::new`].
//!
//! What may stand in a URL has a type of its own (`core/src/gitlab/`), which no unsafe text becomes: the token would go along.

mod change;
mod client;
mod endpoints;
mod error;
mod listed;
mod made;
mod said;
mod settings;
mod step;
mod transport;

pub use change::Change;
pub use client::Client;
pub use endpoints::{
    Branch, BranchDeletion, Commit, FileContent, FileLook, FileState, Issue, IssueFilter, MergeRequest,
    MergeRequestFilter, MergeRequestState, NewBranch, NewCommit, NewMergeRequest, Project, StepSearch, User,
};
pub use error::{Conflict, Error, Expected, Problem};
pub use listed::Listed;
pub use made::Made;
pub use said::Said;
pub use settings::{Settings, SettingsError};
pub use step::Step;
