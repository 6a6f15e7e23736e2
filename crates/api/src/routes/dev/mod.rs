//! Calls that only a server for tests has: `orchestratum dev --manual-clock`.

mod advance_clock;
mod read_clock;

use orchestratum_core::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use advance_clock::*;
pub(crate) use read_clock::*;

/// The clock of a server for tests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clock)]
pub(crate) struct ClockDocument {
    /// What it shows, until it is moved.
    #[schema(value_type = String, format = DateTime, example = "2026-12-01T00:15:00Z")]
    now: Timestamp,
}
