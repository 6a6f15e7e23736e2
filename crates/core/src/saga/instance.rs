//! One run of a definition, as far as it has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::definition::{Definition, End, Events, FailureEvents, Fields, Join};
use super::names::{EventName, StateName};
use crate::JsonText;
use crate::identity::SagaId;
use crate::task::{TaskDraft, TaskError, coded};

coded! {
    /// Where a saga stands, for those who look at it from outside.
    SagaStatus {
        Running = 0,
        /// A person, or a service, must answer.
        AwaitingInput = 1,
        /// Something failed that the definition does not speak of.
        NeedsAttention = 2,
        /// What was done is being undone.
        Compensating = 3,
        /// A compensation failed for good: a person must decide.
        CompensationStuck = 4,
        Completed = 5,
        Failed = 6,
        TimedOut = 7,
        Cancelled = 8,
    }
}

impl SagaStatus {
    /// Whether nothing leaves it.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Running
            | Self::AwaitingInput
            | Self::NeedsAttention
            | Self::Compensating
            | Self::CompensationStuck => false,
            Self::Completed | Self::Failed | Self::TimedOut | Self::Cancelled => true,
        }
    }

    /// Whether something of it stands still until somebody decides.
    pub const fn needs_a_person(self) -> bool {
        match self {
            Self::NeedsAttention | Self::CompensationStuck => true,
            Self::Running
            | Self::AwaitingInput
            | Self::Compensating
            | Self::Completed
            | Self::Failed
            | Self::TimedOut
            | Self::Cancelled => false,
        }
    }

    /// Whether nothing happens to it until somebody does something, or time passes: it waits for somebody, or is over.
    pub const fn rests(self) -> bool {
        match self {
            Self::Running | Self::Compensating => false,
            Self::AwaitingInput
            | Self::NeedsAttention
            | Self::CompensationStuck
            | Self::Completed
            | Self::Failed
            | Self::TimedOut
            | Self::Cancelled => true,
        }
    }
}

coded! {
    /// How a saga ended.
    SagaEnd {
        Completed = 0,
        Failed = 1,
        /// It failed because its time was over.
        TimedOut = 2,
        Cancelled = 3,
    }
}

/// Something that happened, told by whoever saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: String,
    pub name: EventName,
    pub data: JsonText,
}

/// With which the ids of events begin that a saga raises by itself.
const OWN_IDS: [&str; 4] = ["task/", "join/", "default/", "reminder/"];

/// With which the ids of events begin on which a saga starts without anybody having sent one.
const START_IDS: &str = "start/";

impl Event {
    /// On which a saga begins that is started by its definition.
    pub const START: &str = "start";

    /// On which a saga begins that is started by its definition. Callers have the id `start` to themselves.
    pub fn start(data: JsonText) -> Self {
        Self {
            id: format!("{START_IDS}0"),
            name: EventName::new(Self::START).expect("a name"),
            data,
        }
    }

    /// Whether an event of this id comes from the saga itself.
    pub fn is_own(id: &str) -> bool {
        OWN_IDS.iter().any(|own| id.starts_with(own))
    }

    /// Whether no event from outside may have this id: all of one saga share them.
    pub fn is_reserved(id: &str) -> bool {
        Self::is_own(id) || id.starts_with(START_IDS)
    }
}

/// How a task, or a child saga, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Succeeded {
        output: JsonText,
    },
    Unsuccessful {
        error: TaskError,
        /// Whether any of its attempts [leaves doubt](crate::task::AttemptOutcome::leaves_doubt): one that failed clean after
        /// another was lost may all the same have done it. A child saga has undone what it did by its own rules, and leaves none.
        may_have_run: bool,
    },
}

coded! {
    /// What a timer is for.
    TimerKind {
        /// The timeout of the whole.
        Saga = 0,
        /// A delayed transition of one entry of a state.
        After = 1,
        /// The answer that is given for whoever gave none.
        DefaultAnswer = 2,
        /// Tells that an answer is still awaited.
        Reminder = 3,
    }
}

/// A timer of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Timer {
    Saga,
    After { entry: u32, index: u16 },
    DefaultAnswer { entry: u32 },
    Reminder { entry: u32, index: u16 },
}

impl Timer {
    /// One as it is stored; `entry` and `index` are read where its kind has them.
    pub const fn of(kind: TimerKind, entry: u32, index: u16) -> Self {
        match kind {
            TimerKind::Saga => Self::Saga,
            TimerKind::After => Self::After { entry, index },
            TimerKind::DefaultAnswer => Self::DefaultAnswer { entry },
            TimerKind::Reminder => Self::Reminder { entry, index },
        }
    }

    pub const fn kind(self) -> TimerKind {
        match self {
            Self::Saga => TimerKind::Saga,
            Self::After { .. } => TimerKind::After,
            Self::DefaultAnswer { .. } => TimerKind::DefaultAnswer,
            Self::Reminder { .. } => TimerKind::Reminder,
        }
    }

    /// The entry that owns it; 0 for the timeout of the whole, which none does.
    pub const fn entry(self) -> u32 {
        match self {
            Self::Saga => 0,
            Self::After { entry, .. } | Self::DefaultAnswer { entry } | Self::Reminder { entry, .. } => entry,
        }
    }

    /// Which of its kind it is, in the list of its state.
    pub const fn index(self) -> u16 {
        match self {
            Self::Saga | Self::DefaultAnswer { .. } => 0,
            Self::After { index, .. } | Self::Reminder { index, .. } => index,
        }
    }
}

/// A task or a child saga that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// What undoes it, once it may have done something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compensation: Vec<TaskDraft>,
    /// Where it was issued before and may have done something then: the number of the first of its compensation on the stack. While
    /// that is there nothing is registered again; once it is undone, it has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<u32>,
    pub end: LiveEnd,
    /// What is issued once more if a person wants that; kept where its failure may raise nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<TaskDraft>>,
}

/// What the end of something live means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LiveEnd {
    Raises(Events),
    /// It is one of many that are joined.
    Joins {
        join: u32,
        index: usize,
    },
}

/// Tasks of one list that are waited for together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    pub join: Join,
    pub raises: FailureEvents,
    /// Of each, in the order of the list; `None` until it has ended.
    pub outcomes: Vec<Option<Outcome>>,
}

/// Something to be undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// By which a person asks for it, and no other task of the saga has it.
    pub number: u32,
    /// With the values of its expressions when it was registered.
    pub task: TaskDraft,
}

/// How far something to be undone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompensationStatus {
    Pending,
    Running,
    /// It waits for a decision.
    Stuck,
    /// It was passed over, as the definition says.
    Failed,
}

/// Something to be undone, as it is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compensation<'a> {
    pub undo: &'a Undo,
    pub status: CompensationStatus,
    /// Why it could not be undone.
    pub error: Option<&'a TaskError>,
}

/// What could not be done, kept until a person has decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parked {
    /// By which a person asks for it, and no task of the saga has it.
    pub number: u32,
    pub cause: Cause,
    pub reason: String,
}

impl Parked {
    /// By which callers ask for it: the id of the event, or its number.
    pub fn id(&self) -> String {
        match &self.cause {
            Cause::Event(event) => event.id.clone(),
            Cause::Timer(_) | Cause::Task { .. } | Cause::Join { .. } | Cause::Entry { .. } => self.number.to_string(),
        }
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&EventName> {
        match &self.cause {
            Cause::Event(event) => Some(&event.name),
            Cause::Timer(_) | Cause::Task { .. } | Cause::Join { .. } | Cause::Entry { .. } => None,
        }
    }
}

/// What was to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cause {
    Event(Event),
    Timer(Timer),
    /// The end of a task, or of a child saga, that failed and raises nothing.
    Task {
        number: u32,
        /// As it was, with what undoes it: all may be undone before a person has it issued once more.
        live: Box<Live>,
    },
    /// The end of many tasks of which some failed, which raises nothing.
    Join {
        number: u32,
    },
    /// What the state starts in which all is undone, entered on this event.
    Entry {
        entry: u32,
        event: Event,
    },
}

/// What comes when all is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// A state is entered, on this event.
    Enter {
        target: StateName,
        event: Event,
    },
    Cancelled,
}

/// What an instance does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Made, and nothing has happened to it.
    Created,
    /// It takes what happens.
    Running,
    /// An end was reached; what is live was cancelled, and its ends are awaited.
    Ending {
        end: SagaEnd,
    },
    /// All is to be undone; what is live was cancelled, and its ends are awaited: each may have something to undo.
    Settling {
        then: Then,
    },
    /// The newest of the stack is being undone.
    Undoing {
        then: Then,
    },
    /// The newest of the stack could not be undone.
    Stuck {
        error: TaskError,
        then: Then,
    },
    Ended {
        end: SagaEnd,
    },
}

/// One run of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    pub id: SagaId,
    pub correlation_id: String,
    pub input: JsonText,
    pub context: Fields,
    pub state: StateName,
    /// How many states were entered: timers of another entry are none of this one.
    pub entry: u32,
    /// The event that the state asks somebody for.
    pub awaiting: Option<EventName>,
    pub phase: Phase,
    /// Whether its time was over.
    pub is_timed_out: bool,
    /// Forward tasks and child sagas, by their numbers.
    pub live: BTreeMap<u32, Live>,
    pub joins: BTreeMap<u32, Joining>,
    /// What undoes what was done, the newest last.
    pub stack: Vec<Undo>,
    /// Compensations that failed, where the others run all the same.
    pub not_undone: Vec<(Undo, TaskError)>,
    pub deferred: Vec<Event>,
    pub parked: Vec<Parked>,
    /// The last number that was given.
    pub last_number: u32,
    /// How many steps it has made.
    pub version: u64,
}

impl Instance {
    /// `context` as expressions see it.
    pub(super) fn context_json(&self) -> JsonText {
        let fields = self
            .context
            .iter()
            .map(|(name, value)| format!("{}:{value}", json!(name.as_str())));
        JsonText::trusted(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")))
    }

    /// `saga` as expressions see it.
    pub(super) fn identity_json(&self) -> JsonText {
        JsonText::trusted(json!({"id": self.id, "correlation_id": self.correlation_id}).to_string())
    }

    /// One to which nothing has happened. Its context is made when it starts.
    pub fn new(definition: &Definition, id: SagaId, correlation_id: String, input: JsonText) -> Self {
        Self::begin(definition.initial.clone(), id, correlation_id, input)
    }

    /// By a definition that has this initial state.
    pub fn begin(initial: StateName, id: SagaId, correlation_id: String, input: JsonText) -> Self {
        Self {
            id,
            correlation_id,
            input,
            context: Fields::new(),
            state: initial,
            entry: 0,
            awaiting: None,
            phase: Phase::Created,
            is_timed_out: false,
            live: BTreeMap::new(),
            joins: BTreeMap::new(),
            stack: Vec::new(),
            not_undone: Vec::new(),
            deferred: Vec::new(),
            parked: Vec::new(),
            last_number: 0,
            version: 0,
        }
    }

    pub fn status(&self) -> SagaStatus {
        match &self.phase {
            Phase::Running if !self.parked.is_empty() => SagaStatus::NeedsAttention,
            Phase::Running if self.awaiting.is_some() => SagaStatus::AwaitingInput,
            Phase::Created | Phase::Running | Phase::Ending { .. } => SagaStatus::Running,
            Phase::Settling { .. } | Phase::Undoing { .. } => SagaStatus::Compensating,
            Phase::Stuck { .. } => SagaStatus::CompensationStuck,
            Phase::Ended { end } => match end {
                SagaEnd::Completed => SagaStatus::Completed,
                SagaEnd::Failed => SagaStatus::Failed,
                SagaEnd::TimedOut => SagaStatus::TimedOut,
                SagaEnd::Cancelled => SagaStatus::Cancelled,
            },
        }
    }

    /// What is to be undone if it fails from here on, in the order in which that happens; then what could not be undone.
    pub fn to_undo(&self) -> Vec<Compensation<'_>> {
        let newest = match &self.phase {
            Phase::Undoing { .. } => (CompensationStatus::Running, None),
            Phase::Stuck { error, .. } => (CompensationStatus::Stuck, Some(error)),
            Phase::Created | Phase::Running | Phase::Ending { .. } | Phase::Settling { .. } | Phase::Ended { .. } => {
                (CompensationStatus::Pending, None)
            }
        };
        let others = std::iter::repeat((CompensationStatus::Pending, None));
        let standing = std::iter::once(newest).chain(others);
        let left = self.stack.iter().rev().zip(standing);
        let failed = self
            .not_undone
            .iter()
            .map(|(undo, error)| (undo, (CompensationStatus::Failed, Some(error))));
        left.chain(failed)
            .map(|(undo, (status, error))| Compensation { undo, status, error })
            .collect()
    }

    /// Whether what undoes it is to be undone already, since it was issued before.
    pub(super) fn is_armed(&self, live: &Live) -> bool {
        live.armed
            .is_some_and(|first| self.stack.iter().any(|undo| undo.number == first))
    }

    /// How it ends in a final state.
    pub(super) const fn end(&self, end: End) -> SagaEnd {
        match end {
            End::Completed => SagaEnd::Completed,
            End::Failed if self.is_timed_out => SagaEnd::TimedOut,
            End::Failed => SagaEnd::Failed,
        }
    }
}
