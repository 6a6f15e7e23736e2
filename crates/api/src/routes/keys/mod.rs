//! Calls on API keys.

mod create;
mod document;
mod list;
mod revoke;

pub(crate) use create::*;
pub(crate) use list::*;
pub(crate) use revoke::*;
