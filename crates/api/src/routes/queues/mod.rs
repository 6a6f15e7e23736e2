//! Calls on queues: each target has one.

mod list;
mod pause;
mod resume;

pub(crate) use list::*;
pub(crate) use pause::*;
pub(crate) use resume::*;
