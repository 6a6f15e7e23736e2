//! Does with a saga everything that can happen to it, and holds the rules of compensation against what comes of it.
//!
//! For any definition: every step fails and succeeds, is cancelled and lost; every end is told twice; every compensation fails, is
//! run again and skipped; every timer fires; people cancel, retry and discard, at every moment. Between any two steps the saga is
//! stored and read again, as after a crash.
//!
//! ```text
//!   worlds still to be looked at ──► one ──every move──► step ──► Oracle: is that allowed?
//!              ▲                                           │
//!              └───────── those that are new ◄─────────────┘
//! ```
//!
//! ```
//! use orchestratum_core::saga::harness::Harness;
//! use orchestratum_core::saga::read;
//!
//! let definition = read(r#"
//! name: paid
//! initial: Initial
//! states:
//!   Initial:
//!     on:
//!       start: {tasks: [{name: pay, raises: {success: paid, failure: failed}, compensation: [{name: refund}]}], target: Paying}
//!   Paying:
//!     on:
//!       paid: {tasks: [{name: ship, raises: {success: shipped, failure: failed}}], target: Shipping}
//!       failed: {target: Failed}
//!   Shipping:
//!     on:
//!       shipped: {target: Done}
//!       failed: {compensate: true, target: Failed}
//!   Done: {final: true}
//!   Failed: {final: failed}
//! "#)?;
//! let report = Harness::new(definition)?.explore()?;
//! assert!(report.is_complete);
//! assert!(report.failed.contains("ship") && report.undone.contains("refund"));
//! assert!(report.unvisited.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod armed;
mod explore;
mod key;
mod moves;
mod oracle;
mod parts;
mod registered;
mod samples;

#[cfg(test)]
mod tests;

pub use armed::Armed;
pub use explore::{Harness, Report, Violation};
