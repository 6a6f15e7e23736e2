//! Calls on tasks.

mod attempts;
mod body;
mod cancel;
mod create;
mod create_batch;
mod delete;
mod document;
mod follow_logs;
mod limits;
mod list;
mod logs;
mod patch;
mod read;
mod retry;
mod stats;
mod tree;
mod why;

pub(crate) use body::TaskBody;
// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use attempts::*;
pub(crate) use cancel::{Body as CancelBody, *};
pub(crate) use create::*;
pub(crate) use create_batch::*;
pub(crate) use delete::*;
pub(crate) use document::{TaskDocument, seconds};
pub(crate) use list::*;
pub(crate) use logs::*;
pub(crate) use patch::*;
pub(crate) use read::*;
pub(crate) use retry::*;
pub(crate) use stats::*;
pub(crate) use tree::*;
pub(crate) use why::*;
