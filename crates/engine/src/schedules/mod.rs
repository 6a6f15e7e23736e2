//! The use cases on schedules, one file each. What becomes of their slots is the loop's, `loops/schedules.rs`.

mod change;
mod create;
mod delete;
mod read;
mod trigger;

pub use create::{CreateSchedule, CreatedSchedule};
