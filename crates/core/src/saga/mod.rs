//! Sagas: state machines that the server runs, with what undoes each step.
//!
//! ```text
//!   text ──source──► Definition ──validate──► faults and warnings, each with its place
//!                        │
//!   Instance, Input ──step──► Instance, effects
//! ```
//!
//! A *definition* has named *states*. An *event* moves an *instance* along a *transition*, which sets its *context*, issues
//! *tasks*, registers *compensations* and starts *timers*. Start at [`check`] and at [`step`](step()).

mod check;
mod definition;
mod fault;
mod instance;
mod names;
mod source;
mod step;
mod validate;

pub use check::{Checked, check};
pub use definition::{
    Action, ActiveState, AwaitInput, Candidate, Candidates, ChildSaga, Course, DefaultAnswer, Definition, Delay,
    Delayed, End, Events, FailureEvents, Fields, InvalidDelay, Join, OnCompensationFailure, OnPartialFailure, Reach,
    State, TaskAction, TaskBody, Timeout, Unhandled,
};
pub use fault::{Fault, Faults, Place};
pub use instance::{
    Cause, Event, Instance, Joining, Live, LiveEnd, Outcome, Parked, Phase, SagaEnd, SagaStatus, Then, Timer, Undo,
};
pub use names::{DefinitionName, EventName, FieldName, StateName};
pub use source::{SOURCE_MAX_BYTES, SOURCE_MAX_DEPTH, read};
pub use step::{ALWAYS_MAX, DEFERRED_MAX, Effect, Input, Purpose, Rejection, step};
pub use validate::{Findings, STATES_MAX, validate};
