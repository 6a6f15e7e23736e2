//! What must hold. The numbers are those of the reliability document.

use std::fmt;

/// Invariants of the task protocol that a simulation without processes, files and sockets can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// I1: every create that was acknowledged exists.
    AcknowledgedCreateExists,
    /// I2: every row is explained by a create.
    NoPhantoms,
    /// I3: a create of unknown outcome exists at most once.
    UnknownCreateAtMostOnce,
    /// I4: one resource per idempotency key; another body is refused.
    OneResourcePerKey,
    /// I5: a run ends once, and nothing but a manual retry leaves a terminal state.
    TerminalIsFinal,
    /// I6: every step is legal, and the row is the fold of its attempts.
    RowIsFoldOfAttempts,
    /// I7: attempts are gapless, the fence only grows, budgets bound the attempts.
    AttemptsAreGaplessAndBounded,
    /// I8: one attempt at a time, in the database and in the world, and no attempt is taken from a live worker.
    AttemptsDoNotOverlap,
    /// I9: a report with an old fence leaves no trace.
    OldFenceLeavesNoTrace,
    /// I10: one record per attempt.
    AttemptRecordedOnce,
    /// I11: the stored output is that of the winning attempt.
    OutputOfWinningAttempt,
    /// I12: nothing is live long after its deadline.
    DeadlineHolds,
    /// I13: nothing starts before it is due.
    NothingStartsEarly,
    /// I14: what a dead worker held is claimable again in bounded time.
    DeadWorkerIsNoticed,
    /// I15: in the end everything is over, or has a wake source.
    EverythingEnds,
    /// I16: an idle worker finds due work in bounded time, with or without messages.
    DueWorkIsClaimed,
    /// I18: every due row gets its message in bounded time.
    DueRowIsPublished,
    /// I18: nobody lets go of the message of a row that still waits for it.
    RowKeepsItsMessage,
    /// I19: a message names a row that was committed.
    MessageNamesCommittedRow,
    /// I20: what fails on the way changes no outcome.
    FaultsChangeNoOutcome,
    /// I22: what a step of a saga issued is there, once, and nothing else is.
    WhatIsIssuedExistsOnce,
    /// I23: a saga is the fold of its events, and its version counts them.
    SagaIsFoldOfEvents,
    /// I24: every event is taken once, or refused with a reason that is kept.
    EventIsTakenOnceOrRefused,
    /// I25: what was done is undone, newest first, one at a time, and nothing begins meanwhile.
    UndoneNewestFirst,
    /// I26: a join fires once, with all inputs.
    JoinFiresOnce,
    /// I27: a saga that is over has no live tasks and no timers.
    NothingOutlivesItsSaga,
    /// What a worker goes on with is what a claim could have given it.
    GoesOnAsByAClaim,
    /// `dispatches` holds exactly one row for each pending task, with its times, and none for any other.
    OneDispatchPerPendingTask,
}

impl Invariant {
    /// Its number in the reliability document; the last ones are of the data document and have none.
    pub const fn number(self) -> &'static str {
        match self {
            Self::AcknowledgedCreateExists => "I1",
            Self::NoPhantoms => "I2",
            Self::UnknownCreateAtMostOnce => "I3",
            Self::OneResourcePerKey => "I4",
            Self::TerminalIsFinal => "I5",
            Self::RowIsFoldOfAttempts => "I6",
            Self::AttemptsAreGaplessAndBounded => "I7",
            Self::AttemptsDoNotOverlap => "I8",
            Self::OldFenceLeavesNoTrace => "I9",
            Self::AttemptRecordedOnce => "I10",
            Self::OutputOfWinningAttempt => "I11",
            Self::DeadlineHolds => "I12",
            Self::NothingStartsEarly => "I13",
            Self::DeadWorkerIsNoticed => "I14",
            Self::EverythingEnds => "I15",
            Self::DueWorkIsClaimed => "I16",
            Self::DueRowIsPublished | Self::RowKeepsItsMessage => "I18",
            Self::MessageNamesCommittedRow => "I19",
            Self::FaultsChangeNoOutcome => "I20",
            Self::WhatIsIssuedExistsOnce => "I22",
            Self::SagaIsFoldOfEvents => "I23",
            Self::EventIsTakenOnceOrRefused => "I24",
            Self::UndoneNewestFirst => "I25",
            Self::JoinFiresOnce => "I26",
            Self::NothingOutlivesItsSaga => "I27",
            Self::GoesOnAsByAClaim => "claims",
            Self::OneDispatchPerPendingTask => "dispatches",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self:?})", self.number())
    }
}

/// An invariant that did not hold, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: Invariant,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}
