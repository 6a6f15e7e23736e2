//! Calls on sagas.

mod answer;
mod cancel;
mod diagram;
mod discard_parked;
mod document;
mod history;
mod input;
mod list;
mod log;
mod migrate;
mod raise;
mod read;
mod retry;
mod retry_compensation;
mod retry_parked;
mod skip_compensation;
mod start;

pub(super) use document::{SagaDocument, documents};
// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use cancel::*;
pub(crate) use diagram::*;
pub(crate) use discard_parked::*;
pub(crate) use history::*;
pub(crate) use input::*;
pub(crate) use list::*;
pub(crate) use migrate::*;
pub(crate) use raise::*;
pub(crate) use read::*;
pub(crate) use retry::*;
pub(crate) use retry_compensation::*;
pub(crate) use retry_parked::*;
pub(crate) use skip_compensation::*;
pub(crate) use start::*;
