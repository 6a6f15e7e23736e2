//! The use cases on tasks, one file each.

mod append_logs;
mod cancel;
mod claim;
mod create;
mod delete;
mod finish;
mod follow_logs;
mod list;
mod patch;
mod read;
mod retry;
mod stats;
mod tree;
mod why;

pub use cancel::CancelledTask;
pub(crate) use create::hints;
pub use create::{CreateTasks, CreatedTasks, Replay};
pub use finish::{FinishOutcome, Finished, GoesOn};
pub use follow_logs::{FollowLogs, Followed, LogFollower, LogsEnd};
pub use retry::RetryTask;
pub use stats::{COUNTED_TASKS, Counts, Stats};
pub use tree::{Branch, TREE_DEPTH_MAX, TREE_TASKS_MAX, Tree};
pub use why::{AHEAD_MAX, Why};
