//! Calls for those who run the service.

mod live;
mod metrics;
mod ready;
mod stored_figures;

pub(crate) use live::*;
pub(crate) use metrics::*;
pub(crate) use ready::*;
