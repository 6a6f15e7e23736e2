//! Sagas and their tasks as rows in memory: for the simulation, and nothing that is shipped.
//!
//! Every decision is that of the two databases (`decide`), and what is written together there is written together here. What
//! differs is who interleaves: a look is begun (rows are read and all is decided) and written in two calls, so that whoever
//! simulates can let others commit in between, or let the process die. Rows lock nothing; whoever simulates keeps the locks.

mod look;
mod planted;
mod rows;
mod tasks;

pub use self::look::{Look, Overtaken, Start};
pub use self::planted::RowsMutant;
pub use self::rows::{EventRow, LookedAt, Rows, SagaRow, TaskRow};
