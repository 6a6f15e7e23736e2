//! Calls on groups.

mod body;
mod cancel;
mod create;
mod delete;
mod document;
mod list;
mod members;
mod read;

// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use cancel::*;
pub(crate) use create::*;
pub(crate) use delete::*;
pub(crate) use list::*;
pub(crate) use members::*;
pub(crate) use read::*;
