//! The HTTP interface of Orchestratum.
//!
//! ```text
//!   listener, TLS ──► observe ──► auth::require ──► changes ──► routes/<resource>/<call> ──► Engine
//!     server            │ request id, log line,       │           │ extract: bodies, paths, queries, headers
//!                       │ figures, problem bodies     │           └ problem: every refusal, with its code
//!                       └ ends with the client        └ a change goes on without it
//! ```
//!
//! One file an endpoint. Start at `routes/mod.rs`, which lists them all with the scope each needs; then at [`start`],
//! which is what a process does from its settings to its end.

mod auth;
mod canonical;
mod changes;
mod extract;
mod files;
mod held;
mod observe;
mod openapi;
mod pages;
mod problem;
mod router;
mod routes;
mod run;
mod server;
mod start;

pub use files::{Shortage, shortage};
pub use problem::{Code, Problem};
pub use router::router;
pub use run::run;
pub use server::{Addresses, Error as ServerError};
pub use start::{Error, Started, check_bootstrap_key, start, start_with};
