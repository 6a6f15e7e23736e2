//! The task: what was asked for ([`TaskSpec`]), what happens to it ([`TaskEvent`]), and the one function that decides
//! what that does ([`transition`]).

mod event;
mod life;
#[cfg(feature = "mutants")]
pub mod mutant;
mod retry;
mod spec;
mod status;
mod transition;

pub use event::{Ending, LifePatch, Report, TaskEvent};
pub use life::{TaskLife, TaskState};
pub use retry::{Backoff, RetryPolicy};
pub use spec::{
    CheckedPatch, LABELS_MAX_COUNT, Labels, PRIORITY_MAX, SpecLimits, TaskDraft, TaskPatch, TaskSpec, Violation,
    Violations,
};
pub use status::{AttemptOutcome, ErrorKind, TaskError, TaskStatus, UnknownWord};
pub use transition::{EndedAttempt, NOT_FOUND_MIN_WAIT, Refusal, Transition, transition};
