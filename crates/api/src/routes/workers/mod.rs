//! Calls on workers.

mod list;

pub(crate) use list::*;
