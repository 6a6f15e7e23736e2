//! What the schedules have reached: a checker that never meets a case proves nothing about it.

use orchestratum_core::task::{TaskEvent, TaskStatus};

/// The kinds of [`TaskEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Claimed,
    Reported,
    WorkerLost,
    DeadlinePassed,
    NameNotOffered,
    CancelRequested,
    RetryRequested,
    Patched,
}

impl EventKind {
    pub const ALL: [Self; 8] = [
        Self::Claimed,
        Self::Reported,
        Self::WorkerLost,
        Self::DeadlinePassed,
        Self::NameNotOffered,
        Self::CancelRequested,
        Self::RetryRequested,
        Self::Patched,
    ];

    pub const fn of(event: &TaskEvent) -> Self {
        match event {
            TaskEvent::Claimed { .. } => Self::Claimed,
            TaskEvent::Reported(_) => Self::Reported,
            TaskEvent::WorkerLost { .. } => Self::WorkerLost,
            TaskEvent::DeadlinePassed => Self::DeadlinePassed,
            TaskEvent::NameNotOffered { .. } => Self::NameNotOffered,
            TaskEvent::CancelRequested { .. } => Self::CancelRequested,
            TaskEvent::RetryRequested { .. } => Self::RetryRequested,
            TaskEvent::Patched(_) => Self::Patched,
        }
    }
}

/// Whether a status can take an event at all. Written out by hand, apart from the transition function.
pub const fn is_legal(status: TaskStatus, event: EventKind) -> bool {
    match status {
        TaskStatus::Pending => match event {
            EventKind::Claimed
            | EventKind::DeadlinePassed
            | EventKind::NameNotOffered
            | EventKind::CancelRequested
            | EventKind::Patched => true,
            EventKind::Reported | EventKind::WorkerLost | EventKind::RetryRequested => false,
        },
        TaskStatus::InProgress => match event {
            EventKind::Reported
            | EventKind::WorkerLost
            | EventKind::DeadlinePassed
            | EventKind::CancelRequested
            | EventKind::Patched => true,
            EventKind::Claimed | EventKind::NameNotOffered | EventKind::RetryRequested => false,
        },
        TaskStatus::Completed => false,
        TaskStatus::Failed | TaskStatus::Expired | TaskStatus::Cancelled => matches!(event, EventKind::RetryRequested),
    }
}

macro_rules! markers {
    ($(#[$of:meta])* $enum:ident: $($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $enum {
            $($(#[$doc])* $name),+
        }

        impl $enum {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

markers! {
    /// Things that must happen sometimes: the races and recoveries the protocol is made for.
    Marker:
    StaleCompletionRefused,
    ZombieReportRefused,
    ExpiryLostTheRace,
    RescueLostTheRace,
    DeathMarkLostTheRace,
    UnknownCreateRecovered,
    UnknownReportRecovered,
    UnknownClaimHandedBack,
    LostMessageRecoveredByTopUp,
    DuplicateMessageMissed,
    MessageRedelivered,
    BrokerPurged,
    FeederPublishedAgain,
    LeaseRefused,
    WorkerFencedItself,
    FencedWorkerRenewed,
    WorkerRestarted,
    TaskLost,
    LossesUsedUp,
    RetriesUsedUp,
    RetriedAfterBackoff,
    CancelledWhileRunning,
    SuccessBeforeCancelKill,
    ExpiredInTheQueue,
    ExpiredByWorker,
    ExpiredBySweeper,
    TimedOut,
    KilledByForce,
    ReleasedOnDrain,
    NameNotOffered,
    ManualRetry,
    DuplicateCreateAnsweredByKey,
    KeyConflictRefused,
    UnlistedProcessKilled,
    DeadlineMovedWhileRunning,
    ClaimWhilePaused,
    LateSuccessAfterDeadline,
}

markers! {
    /// Things that must happen to sagas sometimes.
    SagaMarker:
    LookRolledBack,
    DiedAfterCommit,
    LookWaitedForALock,
    EventRepeated,
    EventRefused,
    EventDeferred,
    VersionMismatch,
    StartRepeated,
    StartOvertaken,
    RowsOutOfOrder,
    StaleTimerRefused,
    TimerFiredInTime,
    SagaTimedOut,
    DefaultAnswered,
    ZombieRefused,
    ReportRepeated,
    TaskLost,
    TaskExpired,
    DoubtUndone,
    LateEndRefused,
    CancelLostTheRace,
    CancelledWhileUndoing,
    Undone,
    CompensationStuck,
    CompensationRetried,
    CompensationSkipped,
    CompensationGivenUp,
    AllJoined,
    SomeJoined,
    ChildEnded,
    ChildCancelled,
    ChildNotMade,
    Parked,
    ParkedRetried,
    ParkedDiscarded,
    IssuedAgain,
    /// A worker went on with the next task of a saga.
    WentOn,
    OfferedBesideAnother,
    OfferedWhereClosed,
    OfferedByTheDead,
    /// The answer with what a worker was given came to a dead one.
    GivenToTheDead,
    GivenWasHandedBack,
    GivenWasLost,
    GivenWasCancelled,
    GivenWasInDoubt,
}

/// Sets of pairs and markers, merged over seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    attempted: u64,
    accepted: u64,
    markers: u64,
    saga_markers: u64,
}

const fn pair(status: TaskStatus, event: EventKind) -> u64 {
    1 << (status as u64 * 8 + event as u64)
}

impl Coverage {
    pub(crate) fn attempt(&mut self, status: TaskStatus, event: EventKind) {
        self.attempted |= pair(status, event);
    }

    pub(crate) fn accept(&mut self, status: TaskStatus, event: EventKind) {
        self.accepted |= pair(status, event);
    }

    pub(crate) fn sometimes(&mut self, marker: Marker) {
        self.markers |= 1 << marker as u64;
    }

    pub fn merge(&mut self, other: Self) {
        self.attempted |= other.attempted;
        self.accepted |= other.accepted;
        self.markers |= other.markers;
        self.saga_markers |= other.saga_markers;
    }

    pub(crate) fn sometimes_of_a_saga(&mut self, marker: SagaMarker) {
        self.saga_markers |= 1 << marker as u64;
    }

    pub fn missing_saga_markers(&self) -> Vec<SagaMarker> {
        let hit = |marker: &SagaMarker| self.saga_markers & (1 << *marker as u64) != 0;
        SagaMarker::ALL.iter().copied().filter(|marker| !hit(marker)).collect()
    }

    pub const fn attempted(&self, status: TaskStatus, event: EventKind) -> bool {
        self.attempted & pair(status, event) != 0
    }

    pub const fn accepted(&self, status: TaskStatus, event: EventKind) -> bool {
        self.accepted & pair(status, event) != 0
    }

    pub const fn hit(&self, marker: Marker) -> bool {
        self.markers & (1 << marker as u64) != 0
    }

    pub fn missing_markers(&self) -> Vec<Marker> {
        Marker::ALL
            .iter()
            .copied()
            .filter(|marker| !self.hit(*marker))
            .collect()
    }
}
