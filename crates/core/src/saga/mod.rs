//! Sagas: state machines that the server runs, with what undoes each step.
//!
//! ```text
//!   text ──source──► Definition ──validate──► faults and warnings, each with its place
//!                        │
//!                CompiledDefinition
//!                        │
//!   Instance, Input ───step───► Instance, effects, notes
//! ```
//!
//! A *definition* has named *states*. An *event* moves an *instance* along a *transition*, which sets its *context*, issues
//! *tasks*, registers *compensations* and starts *timers*. Start at [`check`] and at [`step`](step()).

pub mod builder;
mod check;
mod compiled;
mod definition;
pub mod diagram;
mod expiry;
mod fault;
pub mod harness;
mod instance;
mod migrate;
pub mod mutant;
mod names;
mod question;
mod simulate;
mod source;
mod step;
mod stored;
mod validate;

pub use check::{Checked, MayBeMissing, check, check_together, check_with};
pub use compiled::{AnswerSchema, CheckedAnswer, CompiledDefinition, ReadAnswerSchema};
pub use definition::{
    Action, ActiveState, AwaitInput, CHILD_DEPTH_MAX, Candidate, Candidates, ChildSaga, Course, DefaultAnswer,
    Definition, Delay, Delayed, End, Events, FailureEvents, Fields, InvalidDelay, Join, OnCompensationFailure,
    OnPartialFailure, Reach, Reminder, State, TaskAction, TaskBody, Timeout, Unhandled,
};
pub use expiry::Expiry;
pub use fault::{Fault, Faults, Place};
pub use instance::{
    Cause, Compensation, CompensationStatus, Event, Instance, Joining, Live, LiveEnd, Outcome, Parked, Phase, SagaEnd,
    SagaStatus, Then, Timer, TimerKind, Undo,
};
pub use migrate::{Migration, migrate};
pub use names::{DefinitionName, EventName, FieldName, StateName};
pub use simulate::{Running, RunningKind, SimulatedSaga, SimulationError, Simulator};
pub use source::{CANONICAL_MAX_BYTES, SOURCE_MAX_BYTES, SOURCE_MAX_DEPTH, name_in, read};
pub use step::{
    ALWAYS_MAX, COMPENSATIONS_MAX, CompensationChange, Cost, DEFERRED_MAX, Decided, Effect, HELD_MAX_BYTES, Input,
    LIVE_MAX, MADE_MAX_BYTES, Note, PARKED_MAX, Purpose, Rejection, Step, step, step_in_place,
};
pub use stored::InvalidInstance;
pub use validate::{
    Findings, SCHEMA_MAX_BYTES, SCHEMA_PARTS_MAX, STATES_MAX, context_fields, schema_faults, schema_parts,
    started_definitions, validate,
};
