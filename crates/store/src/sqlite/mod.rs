//! SQLite: one owner process, one writer.
//!
//! ```text
//!   create, claim, apply ──► write pool (1 connection)  BEGIN IMMEDIATE … COMMIT
//!   task, list, pulse    ──► read pool  (a few, query_only; for a memory database the same connection)
//! ```
//!
//! The write transaction is the lock that PostgreSQL takes row by row. Each statement is a hop to the thread of its
//! connection and back, so a batch is one statement over a table of values, not a loop of statements.

mod clock;
mod dispatches;
mod error;
mod external;
mod groups;
mod idempotency;
mod invariants;
mod keys;
mod lease;
mod logs;
mod maintenance;
mod overviews;
mod owner;
mod queues;
mod rows;
mod sagas;
mod schedules;
mod store;
mod tasks;
mod values;
mod workers;

pub use store::SqliteStore;
