//! Sagas in virtual time: several processes that look at them, workers, timers, callers and persons, over rows in memory.
//!
//! ```text
//!   callers: start, events, cancels ──┐            begin: lock, read, decide    commit: write
//!   persons: answer, retry, skip ─────┼─► process ──────────┬──────────────────────┬────► after: announce, look at
//!   loop: timers, what was left ──────┘                     ✕ dies                 ✕ dies   whoever was told
//!   workers: claim, report, die, wake again ──► tasks and what their sagas are told, in one transaction
//! ```
//!
//! **What is real.** Core's `step`, all that the store decides (`decide`: looks, starts, children, the changes of tasks and what
//! their sagas are told) and the stored form of a saga, read and written with every look. **What is a model.** The
//! statements around that, in the order of the databases ([`orchestratum_store::memory`]); locks; processes with their fast path
//! and the loop that finds what they left. Not here are the short way of a batch of successes, groups, keys and limits of rate:
//! the conformance suite has them.
//!
//! **What is checked when.** After each commit: that what is over has nothing live, and that one is undone at a time. When nothing
//! happens any more: each saga's history is folded again from its first event, each step held against the rules of this
//! [checker](check), which knows nothing of how the step decides; every call was answered, and its event is in the history once
//! or refused; nothing waits for what is not there. And then all is cancelled, and everything ends.

mod answers;
mod check;
mod definitions;
mod persons;
mod process;
mod scenario;
mod tasks;
mod world;

pub use self::definitions::{GENERATED, SHIPPED, generated};
pub(crate) use self::world::run;
