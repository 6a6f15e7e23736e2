//! Schedules: tasks that come by the clock.
//!
//! ```text
//!   cron + time zone ──► slots ──misfire──► those that are run ──overlap──► a task now │ it waits │ it is skipped
//! ```
//!
//! A slot is a point in time that the expression names; for each there is at most one task. What is known of a schedule is its
//! [`ScheduleSpec`], which callers change, and its [`Standing`], which only [`look`] moves on. Everything here is decided from
//! what is given: two processes that look at the same schedule at the same time decide the same.

mod cron;
mod jitter;
mod look;
mod misfire;
mod patch;
mod policy;
mod spec;
mod standing;
mod template;
mod wall;

pub use cron::{CRON_MAX_LENGTH, Cron, InvalidCron};
pub use look::{Look, QUEUE_MAX, look};
pub use misfire::{CATCH_UP_MAX, MISFIRE_GRACE};
pub use patch::SchedulePatch;
pub use policy::{Misfire, Overlap};
pub use spec::{JITTER_MAX, SCHEDULE_NAME_MAX_LENGTH, ScheduleDraft, ScheduleSpec};
pub use standing::{Skip, SkipReason, Standing};
pub use template::{MadeTask, MakeTask};
