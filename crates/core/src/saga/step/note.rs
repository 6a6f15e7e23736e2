//! What a step did, in the words of the history and of the logs. It changes nothing: all of it is in the instance and the effects.

use serde::{Serialize, Serializer};

use crate::saga::instance::{Event, Timer};
use crate::saga::names::{EventName, StateName};

/// One thing that a step did, in the order in which it did them. Its `event` is its name in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event")]
pub enum Note {
    #[serde(rename = "saga.created")]
    Created,
    /// A timer that means something still. What it does follows.
    #[serde(rename = "saga.timeout")]
    TimedOut {
        #[serde(serialize_with = "kind")]
        timer: Timer,
    },
    /// `to` may be `from`: left and entered again, or not left at all.
    #[serde(rename = "saga.transition")]
    Transition {
        from: StateName,
        to: StateName,
        #[serde(rename = "on")]
        event: EventName,
    },
    /// The state took it, and the transition was made.
    #[serde(rename = "saga.event_processed")]
    EventProcessed { id: String, name: EventName },
    /// The end of a task raised it, or it waited for a state that takes it, and none took it. Of other events their sender is
    /// told.
    #[serde(rename = "saga.event_rejected")]
    EventRejected {
        id: String,
        name: EventName,
        reason: String,
    },
    /// It waits for a state that takes it.
    #[serde(rename = "saga.event_deferred")]
    EventDeferred { id: String, name: EventName },
    #[serde(rename = "saga.event_ignored")]
    EventIgnored { id: String, name: EventName },
    /// Something could not be done, and waits for a person; or was tried again in vain.
    #[serde(rename = "saga.parked")]
    Parked { number: u32, reason: String },
    /// What was parked is done now, or means nothing any more.
    #[serde(rename = "saga.parked_resolved")]
    ParkedResolved { number: u32 },
    #[serde(rename = "saga.parked_discarded")]
    ParkedDiscarded { number: u32 },
    #[serde(rename = "saga.compensation")]
    Compensation { number: u32, change: CompensationChange },
}

/// What became of a compensation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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

/// What the timer is for: which of its state it is tells nobody anything.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn kind<S: Serializer>(timer: &Timer, serializer: S) -> Result<S::Ok, S::Error> {
    timer.kind().serialize(serializer)
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
