//! A GitLab for tests: its REST API over a real bare git repository, with faults on demand.
//!
//! ```text
//!   client ──/api/v4──► counted ──► a fault? ──► who asks? ──► routes/ ──► git/ (objects, branches)
//!   test ────/double──► faults, what was asked                    └──────► state (issues, merge requests)
//! ```
//!
//! It knows one project, [`PROJECT`], and the users of `users.rs`. What it answers is held against python-gitlab by a test. In a test it is
//! a [`GitlabDouble`], in a thread of its own, or a [`GitlabProcess`], which can be killed and started again on its folder.

mod call;
mod control;
mod double;
mod faults;
mod git;
mod git_http;
mod hexadecimal;
mod history;
mod pages;
mod parameters;
mod refusal;
mod reply;
mod routes;
mod server;
mod state;
mod users;
mod world;

pub use control::GitlabControl;
pub use double::{GitlabDouble, GitlabProcess};
pub use faults::{Fault, FaultKind};
pub use history::SeenRequest;
pub use server::serve_gitlab;
pub use users::{OWNER_TOKEN, READ_ONLY_TOKEN, READER_TOKEN};

/// The one project.
pub const PROJECT: &str = "grp/proj";

pub(crate) const DEFAULT_BRANCH: &str = "main";
