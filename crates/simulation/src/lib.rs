//! A seeded simulation of the task protocol in virtual time; never shipped.

mod chance;
mod coverage;
mod database;
mod invariant;
mod limits;
mod mutant;
mod runner;
mod swarm;
mod trace;
mod world;

pub use coverage::{Coverage, EventKind, Marker, is_legal};
pub use invariant::{Invariant, Violation};
pub use mutant::Mutant;
pub use runner::{Settings, Summary, explain, swarm};
pub use swarm::Size;
pub use world::Outcome;
