//! The domain of Orchestratum, without IO.
//!
//! Nothing here reads a clock, a socket, a file or a database, and nothing draws a random number: `now` and chance are
//! parameters. That makes the rules testable by the million (see `orchestratum-simulation`), and lets both databases
//! and the simulation go through the same code. Start at [`task::transition`].

#![deny(clippy::wildcard_enum_match_arm)]

pub mod expression;
pub mod gitlab;
mod identity;
mod json;
mod objects;
mod origin;
mod reading;
pub mod saga;
pub mod schedule;
mod suggestion;
pub mod task;
mod text;
mod time;

pub use identity::{
    EnvironmentName, GroupId, InvalidName, NAME_MAX_LENGTH, REFERENCE_MAX_CHARACTERS, SagaId, ScheduleId, Target,
    TaskId, TaskName, WorkerId, is_reference, is_step_of_a_path, reference_rule,
};
pub use json::{InvalidJson, JSON_MAX_DEPTH, JsonText};
pub use objects::Objects;
pub use origin::{InvalidOrigin, Origin, RequestId, TraceParent};
pub use reading::{Unread, read_json};
pub use text::{Lines, shortened, without_nul};
pub use time::{ParseTimestampError, Timestamp};
