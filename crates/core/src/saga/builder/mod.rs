//! Definitions written in Rust: the words of a state machine over types of one's own.
//!
//! ```text
//!   SagaBuilder ──during──► During ──when──► When ──transition_to──► During …
//!        │                          terms of the context and of the event
//!        └──build──► the text of a definition ──check──► Definition
//! ```
//!
//! It writes what its author could have written as YAML, and has it checked as such. So the same saga is the same definition
//! whichever way it was written, and there is one set of rules.
//!
//! What is not there yet when a saga is defined is spoken of by [`Term`]s: `event.transaction_id` is no text but the promise of
//! one. So a field that does not exist, or one of another type, does not compile.

mod draft;
mod during;
mod start;
mod task;
mod term;
mod typed;
mod when;

#[cfg(test)]
mod tests;

pub use during::{Awaiting, During, Entered};
pub use start::{SagaBuilder, Timeout};
pub use task::{Action, Anything, Becomes, Child, Each, Joined, Task, child, for_each, task};
pub use term::{Assignment, Assignments, Place, Term, Whatever, cel, constant, correlation_id, saga_id};
pub use typed::{Event, FailureEvent, FailureTerms, Fields, JoinedEvent, JoinedTerms, States, TaskKind, Terms};
pub use when::{Acting, Compensating, Plain, When};
