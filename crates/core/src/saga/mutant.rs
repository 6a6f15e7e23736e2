//! Deliberate bugs in the step: the proof that the simulation bites. Without the feature `mutants`, which nothing that is shipped
//! enables, none can be planted and the question costs nothing. Planted per thread, so that tests do not disturb each other.

#[cfg(feature = "mutants")]
use std::cell::Cell;

/// One wrong reading of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Compensations run in the order in which they were registered.
    OldestUndoneFirst,
    /// The compensations run beside tasks that were cancelled and have not ended.
    UndoneBesideLiveTasks,
    /// A task that ends after its compensation has begun is taken for one that is live.
    LateEndTaken,
    /// What is unknown of a task is taken for what did not happen.
    DoubtNotUndone,
    /// A timer counts whatever entry of a state it belongs to.
    TimerOfOtherEntryTaken,
    /// The event of a join is raised twice.
    JoinedTwice,
    /// An end does not wait for what is live.
    EndsWithLiveTasks,
    /// A task that is issued once more after all was undone has nothing that undoes it.
    UndoForgottenWithParked,
}

#[cfg(feature = "mutants")]
thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a bug in this thread, or takes it out.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

#[cfg(feature = "mutants")]
pub(super) fn is_planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

#[cfg(not(feature = "mutants"))]
pub(super) const fn is_planted(_mutant: Mutant) -> bool {
    false
}
