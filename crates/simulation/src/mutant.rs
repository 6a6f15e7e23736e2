//! The deliberate bugs: the proof that the checks bite. Without the feature `mutants` none can be planted.

#[cfg(feature = "mutants")]
use orchestratum_core::saga::mutant as saga;
#[cfg(feature = "mutants")]
use orchestratum_core::task::mutant as core;
use orchestratum_store::memory::RowsMutant;

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A deliberate bug in the transition function or in the protocol around it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$doc])* $name),+
        }

        impl Mutant {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }
        }
    };
}

mutants! {
    // In the transition function.
    ReportWithoutFence,
    RescueWithoutFence,
    TerminalOverwritable,
    CancelledAttemptRetried,
    RetryBudgetForgotten,
    ClaimKeepsFence,
    ClaimBeforeDue,
    // In the protocol around it.
    /// The sweeper marks a worker dead by its id, without looking at the lease again.
    DeathMarkByIdOnly,
    /// A worker writes its lease by its own wall clock.
    WorkerClockForLeases,
    /// A renewal is accepted from a worker that is already marked dead.
    RenewalResurrects,
    /// A worker that cannot renew goes on.
    NoSelfFencing,
    /// The end of an attempt is reported when TERM is sent, not when the processes are dead.
    RetryReleasedBeforeKill,
    /// The idempotency key is looked up in one statement and written in another.
    KeyCheckedThenInserted,
    /// A create of unknown outcome is repeated under a new id.
    BlindRepeatOfCreate,
    /// The feeder only reads rows with a higher id than the last one it published.
    OutboxByCursor,
    /// The message of a create is sent before its commit.
    PublishBeforeCommit,
    /// A worker only claims what a message names.
    NoTopUp,
    /// What a claim of unknown outcome took is never handed back.
    NoHandBack,
    /// The claim deletes the hand-off row before it looks at the deadline.
    GuardAfterDelete,
    /// A patch changes the task and not its hand-off row.
    PatchForgetsDispatch,
    /// What is listed once and not running is handed back, even while the answer of a claim is still on its way.
    HandBackWithoutSecondLook,
    /// A renewal that arrives late takes away time that a later one has given.
    LateRenewalShortensLease,
    /// A message is acknowledged when its claim is sent.
    ///
    /// No outcome can tell: a schedule of this bug is one of a broker that lost the message at the moment at which it
    /// should have delivered it again, and every invariant on rows must hold with such a broker. What is lost is the
    /// promise that only a top-up or a feeder's second look makes up for, so the check is on the message itself: whoever
    /// lets go of one must have seen its row gone.
    AckBeforeClaim,
    /// What a claim of unknown outcome took is handed back as a failure, and so uses a retry. Each step of it is legal;
    /// only a world without faults shows that the task should have ended otherwise.
    HandBackUsesRetry,
    // In the step of a saga.
    OldestUndoneFirst,
    UndoneBesideLiveTasks,
    LateEndTaken,
    DoubtNotUndone,
    TimerOfOtherEntryTaken,
    JoinedTwice,
    EndsWithLiveTasks,
    UndoForgottenWithParked,
    // In what is written together with a saga.
    TakenIsWrittenAfterwards,
    EndIsWrittenAfterwards,
    ParentIsToldAfterwards,
    TasksAreMadeAfterwards,
    EventIdsAreForgotten,
    TimersFireAgain,
    TimersOutliveTheirSaga,
    // In what a look gives to workers.
    LanesAreNotAsked,
    ClosedTargetsAreNotAsked,
    LeasesAreNotAsked,
    AllThatOfferAreGivenTheSame,
    WhatIsGivenWaits,
    WhatIsGivenLeavesNoDoubt,
    // In the protocol around sagas.
    /// Two may look at a saga at a time, and the later writes over the earlier.
    LooksLockNothing,
    /// What the loop for sagas would find is left.
    NobodyLooksAtWhatWasLeft,
    /// A worker keeps what it was given and knows nothing of.
    WhatWasGivenIsNeverHandedBack,
}

impl Mutant {
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }

    /// Whether it is one of sagas, and the schedules of tasks know nothing of it.
    pub const fn is_of_sagas(self) -> bool {
        self as u8 >= Self::OldestUndoneFirst as u8
    }

    #[cfg(feature = "mutants")]
    const fn in_core(self) -> Option<core::Mutant> {
        match self {
            Self::ReportWithoutFence => Some(core::Mutant::ReportWithoutFence),
            Self::RescueWithoutFence => Some(core::Mutant::RescueWithoutFence),
            Self::TerminalOverwritable => Some(core::Mutant::TerminalOverwritable),
            Self::CancelledAttemptRetried => Some(core::Mutant::CancelledAttemptRetried),
            Self::RetryBudgetForgotten => Some(core::Mutant::RetryBudgetForgotten),
            Self::ClaimKeepsFence => Some(core::Mutant::ClaimKeepsFence),
            Self::ClaimBeforeDue => Some(core::Mutant::ClaimBeforeDue),
            _ => None,
        }
    }

    #[cfg(feature = "mutants")]
    const fn in_step(self) -> Option<saga::Mutant> {
        match self {
            Self::OldestUndoneFirst => Some(saga::Mutant::OldestUndoneFirst),
            Self::UndoneBesideLiveTasks => Some(saga::Mutant::UndoneBesideLiveTasks),
            Self::LateEndTaken => Some(saga::Mutant::LateEndTaken),
            Self::DoubtNotUndone => Some(saga::Mutant::DoubtNotUndone),
            Self::TimerOfOtherEntryTaken => Some(saga::Mutant::TimerOfOtherEntryTaken),
            Self::JoinedTwice => Some(saga::Mutant::JoinedTwice),
            Self::EndsWithLiveTasks => Some(saga::Mutant::EndsWithLiveTasks),
            Self::UndoForgottenWithParked => Some(saga::Mutant::UndoForgottenWithParked),
            _ => None,
        }
    }

    #[cfg(feature = "mutants")]
    const fn in_rows(self) -> Option<RowsMutant> {
        match self {
            Self::TakenIsWrittenAfterwards => Some(RowsMutant::TakenIsWrittenAfterwards),
            Self::EndIsWrittenAfterwards => Some(RowsMutant::EndIsWrittenAfterwards),
            Self::ParentIsToldAfterwards => Some(RowsMutant::ParentIsToldAfterwards),
            Self::TasksAreMadeAfterwards => Some(RowsMutant::TasksAreMadeAfterwards),
            Self::EventIdsAreForgotten => Some(RowsMutant::EventIdsAreForgotten),
            Self::TimersFireAgain => Some(RowsMutant::TimersFireAgain),
            Self::TimersOutliveTheirSaga => Some(RowsMutant::TimersOutliveTheirSaga),
            Self::LanesAreNotAsked => Some(RowsMutant::LanesAreNotAsked),
            Self::ClosedTargetsAreNotAsked => Some(RowsMutant::ClosedTargetsAreNotAsked),
            Self::LeasesAreNotAsked => Some(RowsMutant::LeasesAreNotAsked),
            Self::AllThatOfferAreGivenTheSame => Some(RowsMutant::AllThatOfferAreGivenTheSame),
            Self::WhatIsGivenWaits => Some(RowsMutant::WhatIsGivenWaits),
            Self::WhatIsGivenLeavesNoDoubt => Some(RowsMutant::WhatIsGivenLeavesNoDoubt),
            _ => None,
        }
    }
}

/// Which bug is planted, if any: always none without the feature, so that the questions below cost nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl Planted {
    /// Plants it in this thread.
    #[cfg(feature = "mutants")]
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        core::plant(mutant.and_then(Mutant::in_core));
        saga::plant(mutant.and_then(Mutant::in_step));
        Self { mutant }
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn in_rows(self) -> Option<RowsMutant> {
        self.mutant.and_then(Mutant::in_rows)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) const fn in_rows(self) -> Option<RowsMutant> {
        None
    }

    #[cfg(not(feature = "mutants"))]
    pub(crate) fn new(_mutant: Option<Mutant>) -> Self {
        Self::default()
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) const fn is(self, _mutant: Mutant) -> bool {
        false
    }
}
