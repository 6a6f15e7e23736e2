//! What every store must do, and what only one of them has.
//!
//! ```text
//!   conformance   the behaviours  ──► in_memory, in_file (SQLite), postgres: each of them on each
//!   differential  random operations: a model, SQLite and PostgreSQL give equal answers
//!   going_on, lost_commits, plans, saga_lists, sqlite_file     what can only befall the one or the other
//! ```

mod conformance;
mod differential;
mod frozen_client;
mod going_on;
mod going_on_sagas;
mod in_file;
mod in_memory;
mod lost_commits;
mod plans;
mod postgres;
mod saga_lists;
mod sqlite_file;
mod support;
