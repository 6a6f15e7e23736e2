//! Claims tasks, runs them under their clocks and reports how they ended.
//!
//! ```text
//!   broker ── hints ──► mailroom ──► lane (in process) ──┐ claim, acknowledge
//!          ── signals ─►   │   └───► lane (processes) ───┤
//!                          │                             ▼
//!                          │            attempt: handler or sandboxed program,
//!                          │            deadline, timeout, cancel, drain ──► report ──► engine
//!                          ▼
//!   lease (own thread) ── renewals ──► steward: hand back, cancel, kill what is not ours any more
//! ```
//!
//! Nothing here is the truth: a worker that dies at any point leaves rows that its lease's end, or its next renewal,
//! sets right. Start at [`Worker`], then `claim`, `attempt` for the clocks, `lease` for who may run at all.

mod attempt;
mod cache;
mod claim;
pub mod dotnet;
pub mod environments;
mod error;
mod executors;
mod handler;
mod health;
mod held;
mod interpreter;
pub mod isolation;
mod lane;
mod lease;
mod live_logs;
pub mod machine;
mod mailroom;
pub mod messaging;
mod offers;
mod outside;
mod report;
mod shared;
mod slots;
mod telling;
mod turns;
mod worker;

pub use error::Error;
pub use handler::{Handled, Handler, HandlerContext, HandlerError};
pub use worker::{Builder, Worker, run};
