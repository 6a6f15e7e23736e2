//! Calls for those who run the service.

mod live;
mod metrics;
mod queue_figures;
mod ready;

pub(crate) use live::*;
pub(crate) use metrics::*;
pub(crate) use ready::*;
