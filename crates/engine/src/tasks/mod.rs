//! The use cases on tasks, one file each.

mod cancel;
mod claim;
mod create;
mod delete;
mod finish;
mod list;
mod patch;
mod read;
mod retry;
mod stats;
mod why;

pub use cancel::CancelledTask;
pub use create::{CreateTasks, CreatedTasks, Replay};
pub use finish::FinishOutcome;
pub use retry::RetryTask;
pub use stats::{COUNTED_TASKS, Counts, Stats};
pub use why::{AHEAD_MAX, Why};
