//! Sagas in virtual time: several processes that look at them, workers, timers, callers and persons, over rows in memory.
//!
//! ```text
//!   callers: start, events, cancels ──┐            begin: lock, read, decide    commit: write
//!   persons: answer, retry, skip ─────┼─► process ──────────┬──────────────────────┬────► after: announce, look at
//!   loop: timers, what was left ──────┘                     ✕ dies                 ✕ dies   whoever was told
//!   workers: claim, report, die, wake again ──► tasks and what their sagas are told, in one transaction
//!        └──── would go on: the look gives it the next task ◄────── the answer is lost, late, or comes to the dead
//! ```
//!
//! **What is real.** Core's `step`, all that the store decides (`decide`: looks, starts, children, the changes of tasks and what
//! their sagas are told) and the stored form of a saga, read and written with every look. **What is a model.** The
//! statements around that, in the order of the databases ([`orchestratum_store::memory`]); locks; processes with their fast path
//! and the loop that finds what they left; workers with lanes, leases and places; targets that are paused or have a rate. Not here are the short way of a
//! batch of successes, groups, keys, and how a rate counts: the conformance suite has them.
//!
//! **What is checked when.** After each commit: that what is over has nothing live, that one is undone at a time, that exactly what is
//! pending has a dispatch row, and that a worker goes on with nothing that a claim would not have given it. When an attempt begins:
//! that no other of its task runs. When nothing
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
mod workers;
mod world;

pub use self::definitions::{GENERATED, SHIPPED, generated};
pub(crate) use self::world::run;
