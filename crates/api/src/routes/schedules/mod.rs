//! Calls on schedules.

mod create;
mod delete;
mod document;
mod list;
mod patch;
mod read;
mod trigger;

// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use create::*;
pub(crate) use delete::*;
pub(crate) use list::*;
pub(crate) use patch::*;
pub(crate) use read::*;
pub(crate) use trigger::*;
