//! What a step did, in the words of the history and of the logs. It changes nothing: all of it is in the instance and the effects.

use crate::saga::instance::{Event, Timer};
use crate::saga::names::{EventName, StateName};

/// One thing that a step did, in the order in which it did them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Created,
    /// A timer that means something still. What it does follows.
    TimedOut {
        timer: Timer,
    },
    /// `to` may be `from`: left and entered again, or not left at all.
    Transition {
        from: StateName,
        to: StateName,
        event: EventName,
    },
    /// The state took it, and the transition was made.
    EventProcessed {
        id: String,
        name: EventName,
    },
    /// The end of a task raised it, or it waited for a state that takes it, and none took it. Of other events their sender is
    /// told.
    EventRejected {
        id: String,
        name: EventName,
        reason: String,
    },
    /// It waits for a state that takes it.
    EventDeferred {
        id: String,
        name: EventName,
    },
    EventIgnored {
        id: String,
        name: EventName,
    },
    /// Something could not be done, and waits for a person; or was tried again in vain.
    Parked {
        number: u32,
        reason: String,
    },
    /// What was parked is done now, or means nothing any more.
    ParkedResolved {
        number: u32,
    },
    ParkedDiscarded {
        number: u32,
    },
    Compensation {
        number: u32,
        change: CompensationChange,
    },
}

/// What became of a compensation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompensationChange {
    Started,
    Succeeded,
    /// For good.
    Failed,
    /// By a person.
    Skipped,
    /// By a person; it starts again.
    Retried,
}

impl CompensationChange {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Retried => "retried",
        }
    }
}

impl Note {
    pub(super) fn rejected(event: &Event, reason: String) -> Self {
        Self::EventRejected {
            id: event.id.clone(),
            name: event.name.clone(),
            reason,
        }
    }

    pub(super) fn processed(event: &Event) -> Self {
        Self::EventProcessed {
            id: event.id.clone(),
            name: event.name.clone(),
        }
    }

    pub(super) fn deferred(event: &Event) -> Self {
        Self::EventDeferred {
            id: event.id.clone(),
            name: event.name.clone(),
        }
    }

    pub(super) fn ignored(event: &Event) -> Self {
        Self::EventIgnored {
            id: event.id.clone(),
            name: event.name.clone(),
        }
    }
}
