//! Calls on saga definitions.

mod diagram;
mod document;
mod list;
mod put;
mod read;
mod read_version;
mod versions;

use orchestratum_core::saga::SOURCE_MAX_BYTES;

pub(super) const BODY_MAX_BYTES: usize = SOURCE_MAX_BYTES;

// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use diagram::*;
pub(crate) use list::*;
pub(crate) use put::*;
pub(crate) use read::*;
pub(crate) use read_version::*;
pub(crate) use versions::*;
