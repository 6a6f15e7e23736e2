//! Calls on queues: each target has one.

mod list;
mod pause;
mod rate;
mod resume;

pub(crate) use list::*;
pub(crate) use pause::*;
pub(crate) use rate::*;
pub(crate) use resume::*;
