//! Sagas: their definitions, where each stands, and everything that ever reached them.
//!
//! ```text
//!   start, events, cancels ───────────────────────────┐
//!   a task of a saga ends ──► saga_events (its row    ├──► advance: lock ─► step ─► write
//!   a timer is due ─────────►  waits to be looked at) ┘         one transaction for many sagas
//! ```
//!
//! [`advance_sagas`](SagaStore::advance_sagas) is the one way in which a saga changes, whatever the reason: it looks at what has
//! arrived in its order, then at what its caller brings, puts each to `step` under the lock of the saga's row, and writes the
//! saga, its history, its tasks and its timers in one commit. What is left undone by a process that dies is found by its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::saga::{
    CompiledDefinition, DefinitionName, Event, EventName, Faults, Input, Instance, Rejection, SagaStatus, StateName,
    Timer,
};
use orchestratum_core::task::{ErrorKind, TaskError};
use orchestratum_core::{JsonText, Origin, SagaId, Timestamp};

use crate::{Audit, Changed, ClaimedTask, Error, IdempotencyKey, Ready, Takes, Told};

/// A definition to be stored.
#[derive(Debug, Clone)]
pub struct NewDefinition {
    pub name: DefinitionName,
    /// SHA-256 of the canonical form.
    pub fingerprint: [u8; 32],
    /// As its author wrote it.
    pub source: String,
    pub canonical: String,
    /// The events that start an instance of it.
    pub starting_events: Vec<EventName>,
}

/// What became of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefinitionVersion {
    pub version: u32,
    /// Whether it is new: the same content again is the version that it was.
    pub is_new: bool,
}

/// A version of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDefinition {
    pub name: DefinitionName,
    pub version: u32,
    pub source: String,
    pub canonical: String,
    pub created_at: Timestamp,
}

/// A version of a definition without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionHead {
    pub name: DefinitionName,
    pub version: u32,
    pub created_at: Timestamp,
}

/// A saga to be started.
#[derive(Debug, Clone)]
pub struct NewSaga {
    pub id: SagaId,
    pub definition: DefinitionName,
    /// `None`: the newest there is.
    pub version: Option<u32>,
    pub correlation_id: String,
    pub input: JsonText,
    /// On which it begins.
    pub event: Event,
    /// Of its tasks.
    pub origin: Origin,
    pub actor: Option<String>,
    /// Where the ids of its tasks come from.
    pub seed: u128,
    pub idempotency: Option<IdempotencyKey>,
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq)]
pub enum StartOutcome {
    Started(Box<Advanced>),
    /// There is one of this definition with this correlation id, by this call or an earlier one. Nothing was done.
    Exists(Box<Saga>),
    /// The idempotency key was used before, with the same body, and stands for this saga.
    Replayed(SagaId),
    /// The idempotency key was used before with another body.
    KeyReused,
    NoDefinition,
    /// It cannot begin so. Nothing is stored.
    Rejected(Rejection),
    /// Another one that was to begin with it cannot. Nothing is stored.
    Withheld,
    /// Others of the same call cost as much as a call may. Nothing was done: ask again.
    Left,
}

/// Something that is to reach a saga.
#[derive(Debug, Clone)]
pub struct Request {
    pub input: Input,
    /// Refuse unless the saga is there, after what had arrived before.
    pub expected: Option<Expected>,
    /// The public id of the API key that brings it; `None` for the system itself.
    pub actor: Option<String>,
    /// What a person says of it, for the history of what has no data of its own.
    pub reason: Option<String>,
}

/// Where a caller takes a saga to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// At this version (`If-Match`).
    Version(u64),
    /// In the state that it entered as this one, however much has happened to it there.
    Entry(u32),
}

impl Expected {
    pub(crate) fn is(self, instance: &Instance) -> bool {
        match self {
            Self::Version(version) => instance.version == version,
            Self::Entry(entry) => instance.entry == entry,
        }
    }
}

/// A look at a saga: at what has arrived, and then at what its caller brings.
#[derive(Debug, Clone)]
pub struct Advance {
    pub saga: SagaId,
    pub request: Option<Request>,
    /// Of a worker that has ended one of its tasks.
    pub offer: Option<SagaOffer>,
    /// Where the ids of its tasks come from: random, since an id that somebody guesses can be taken.
    pub seed: u128,
}

/// Of the tasks that a look makes, its worker takes the first that it serves and that is as urgent as the one it has ended.
#[derive(Debug, Clone)]
pub struct SagaOffer {
    pub takes: Takes,
    /// Of the task that the worker has ended.
    pub priority: u8,
}

/// What became of a look.
#[derive(Debug, Clone, PartialEq)]
pub enum AdvanceOutcome {
    Done(Box<Advanced>),
    /// An event of this id has reached it before: nothing was done twice.
    Repeated(Box<Advanced>),
    /// What the caller brought is refused; what had arrived before is done.
    Rejected {
        rejection: Rejection,
        advanced: Box<Advanced>,
    },
    /// It is not where its caller expected it; what had arrived before is done.
    NotThere {
        advanced: Box<Advanced>,
    },
    /// It has taken an event of this id, and that was another one.
    EventIdReused {
        event: String,
        advanced: Box<Advanced>,
    },
    /// What was looked at before costs as much as a look may. Nothing was done with what the caller brought: bring it again.
    Left {
        advanced: Box<Advanced>,
    },
    NotFound,
}

/// A saga is to go on by another version of its definition.
#[derive(Debug, Clone)]
pub struct MigrateSaga {
    pub saga: SagaId,
    pub version: u32,
    /// What states are called in that version, where it is not as before, or which takes their place.
    pub states: BTreeMap<StateName, StateName>,
    /// `If-Match`.
    pub expected_version: Option<u64>,
    /// Only tell what it would come to.
    pub dry_run: bool,
    pub actor: Option<String>,
}

/// What became of a migration.
#[derive(Debug, Clone, PartialEq)]
pub enum MigrateOutcome {
    Migrated {
        advanced: Box<Advanced>,
        /// What began anew, or means nothing any more.
        losses: Vec<String>,
    },
    /// It runs by this version already, or it was a dry run: the saga as it would stand.
    Unchanged {
        saga: Box<Saga>,
        losses: Vec<String>,
    },
    /// It cannot be moved so, with pointers below `/states`.
    Refused(Faults),
    VersionMismatch {
        current: u64,
    },
    /// Something has reached it that is to be looked at first.
    Unlooked,
    /// There is no such version.
    NoDefinition,
    NotFound,
}

/// A saga after a look at it, with what must follow the commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Advanced {
    pub saga: Saga,
    /// Before this look; `None` of a new one.
    pub before: Option<Stand>,
    /// Of a call for many sagas, all of it is with the first of them.
    pub consequences: Consequences,
    /// What the worker whose offer came with the look goes on with. It is claimed like any other.
    pub claimed: Option<Box<ClaimedTask>>,
}

/// Where a saga stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    pub status: SagaStatus,
    pub state: StateName,
    pub version: u64,
}

/// What whoever looked has to do after the commit. All of it may be lost with the process: loops find it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Consequences {
    /// Tasks that are ready and of which nobody was told.
    pub ready: Vec<Ready>,
    /// How many tasks were made.
    pub issued: usize,
    /// Tasks that were cancelled, or are to be.
    pub cancelled: Vec<Changed>,
    /// Sagas that have something to look at now: this one, its parent, its children.
    pub unlooked: Vec<SagaId>,
    /// Of those that were looked at, which have more, since others cost as much as a look may: they come after what costs little.
    pub again: Vec<SagaId>,
    /// How many sagas were not looked at to the end since those before them cost as much as a look may.
    pub cut: usize,
    /// When its next timer is due, of those that were started.
    pub next_timer: Option<Timestamp>,
    /// When the next of its tasks becomes due, of those that wait.
    pub next_due: Option<Timestamp>,
}

/// A saga as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Saga {
    pub id: SagaId,
    pub definition: DefinitionName,
    pub definition_version: u32,
    pub parent: Option<SagaId>,
    /// Where it stands.
    pub instance: Instance,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// Which sagas a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SagaFilter {
    pub definition: Option<DefinitionName>,
    /// Those that are in it: one that was cancelled has left it, and is among them only if `status` asks for it.
    pub state: Option<StateName>,
    pub status: Option<SagaStatus>,
    pub correlation_id: Option<String>,
    /// Those that this one has started.
    pub parent: Option<SagaId>,
    /// Live ones to which nothing has happened since. Those that await input only if `status` asks for them.
    pub unchanged_since: Option<Timestamp>,
}

/// One page of a list, newest first.
#[derive(Debug, Clone, Default)]
pub struct SagaPage {
    pub items: Vec<Saga>,
    /// Ask for sagas before this id to go on.
    pub next: Option<SagaId>,
}

/// What kind of thing reached a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Started = 0,
    Event = 1,
    TaskEnded = 2,
    CompensationEnded = 3,
    Timer = 4,
    Cancel = 5,
    CompensationRetried = 6,
    CompensationSkipped = 7,
    ParkedRetried = 8,
    ParkedDiscarded = 9,
    Retried = 10,
    Migrated = 11,
}

impl EventKind {
    pub const ALL: [Self; 12] = [
        Self::Started,
        Self::Event,
        Self::TaskEnded,
        Self::CompensationEnded,
        Self::Timer,
        Self::Cancel,
        Self::CompensationRetried,
        Self::CompensationSkipped,
        Self::ParkedRetried,
        Self::ParkedDiscarded,
        Self::Retried,
        Self::Migrated,
    ];

    /// The number in the database.
    pub(crate) const fn code(self) -> i16 {
        self as i16
    }

    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Event => "event",
            Self::TaskEnded => "task_ended",
            Self::CompensationEnded => "compensation_ended",
            Self::Timer => "timer",
            Self::Cancel => "cancel",
            Self::CompensationRetried => "compensation_retried",
            Self::CompensationSkipped => "compensation_skipped",
            Self::ParkedRetried => "parked_retried",
            Self::ParkedDiscarded => "parked_discarded",
            Self::Retried => "retried",
            Self::Migrated => "migrated",
        }
    }
}

/// An entry of a saga's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The place in the history, from 1, without gaps.
    pub seq: u64,
    pub kind: EventKind,
    /// Of the task, the compensation, or what was parked.
    pub number: Option<u32>,
    pub event_id: Option<String>,
    /// Of the event.
    pub name: Option<String>,
    pub data: Option<JsonText>,
    /// How a task ended without success.
    pub error: Option<JsonText>,
    /// Whose key brought it; `None` for the system itself.
    pub actor: Option<String>,
    pub received_at: Timestamp,
    pub processed_at: Timestamp,
    /// Why it was refused; `None` of what was taken.
    pub refusal: Option<String>,
    /// The version of the saga after it.
    pub version: u64,
    pub from: StateName,
    pub to: StateName,
    /// What the saga did then.
    pub told: Told,
}

impl HistoryEntry {
    /// What came of it, in a word: how a task ended, or what became of an event or of what a person asked for.
    pub fn outcome(&self) -> &'static str {
        if self.refusal.is_some() {
            return "refused";
        }
        let noted = |event: &str| self.told.notes.iter().any(|note| note.event == event);
        match (self.kind, &self.error) {
            (EventKind::TaskEnded | EventKind::CompensationEnded, None) => "succeeded",
            (EventKind::TaskEnded | EventKind::CompensationEnded, Some(error)) => {
                match serde_json::from_str::<TaskError>(error.as_str()).map(|error| error.kind) {
                    Ok(ErrorKind::Cancelled) => "cancelled",
                    Ok(ErrorKind::Expired) => "expired",
                    _ => "failed",
                }
            }
            _ if noted("saga.parked") => "parked",
            (EventKind::Started | EventKind::Event, _) if noted("saga.event_processed") => "taken",
            (EventKind::Started | EventKind::Event, _) if noted("saga.event_deferred") => "deferred",
            (EventKind::Started | EventKind::Event, _) if noted("saga.event_ignored") => "ignored",
            _ => "taken",
        }
    }
}

/// One page of a history, in its order.
#[derive(Debug, Clone, Default)]
pub struct HistoryPage {
    pub items: Vec<HistoryEntry>,
    /// Ask for what comes after this place to go on.
    pub next: Option<u64>,
}

/// A timer of a saga that is not due yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingTimer {
    pub timer: Timer,
    pub due_at: Timestamp,
}

/// What a look for due timers has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FiredTimers {
    /// The sagas that have something to look at now.
    pub sagas: Vec<SagaId>,
    /// There may be more that are due.
    pub more: bool,
}

impl FiredTimers {
    /// Of those that were due, by their sagas, at most `limit`.
    pub(crate) fn of(due: impl IntoIterator<Item = SagaId>, limit: usize) -> Self {
        let mut sagas: Vec<SagaId> = due.into_iter().collect();
        let more = sagas.len() >= limit;
        sagas.sort_unstable();
        sagas.dedup();
        Self { sagas, more }
    }
}

/// A live saga to which an event is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    pub saga: SagaId,
    pub definition: DefinitionName,
    pub status: SagaStatus,
}

/// What an idempotency key stands for that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyedSaga {
    /// It was used with another body.
    Reused,
    /// The same request has started this one; retention may have taken it.
    Started(SagaId),
}

#[async_trait]
pub trait SagaStore: Send + Sync {
    /// Whether workers may go on with what sagas issue: a [`SagaOffer`] is nothing to a store that says no.
    fn takes_offers(&self) -> bool {
        false
    }

    /// Stores a definition as its next version, unless the newest has the same content.
    async fn put_definition(
        &self,
        definition: &NewDefinition,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<DefinitionVersion, Error>;

    /// `None` for the newest version.
    async fn definition(&self, name: &DefinitionName, version: Option<u32>) -> Result<Option<StoredDefinition>, Error>;

    /// A version, ready to run: read once for all that ask in this process.
    async fn compiled_definition(
        &self,
        name: &DefinitionName,
        version: u32,
    ) -> Result<Option<Arc<CompiledDefinition>>, Error>;

    /// The newest version of each, by name; `after` is the last name of the page before.
    async fn definitions(&self, after: Option<&DefinitionName>, limit: usize) -> Result<Vec<DefinitionHead>, Error>;

    /// All versions of one, the newest first; `before` is the last of the page before.
    async fn definition_versions(
        &self,
        name: &DefinitionName,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<DefinitionHead>, Error>;

    /// Which of these names have a definition.
    async fn defined_of(&self, names: &[DefinitionName]) -> Result<BTreeSet<DefinitionName>, Error>;

    /// Of which definitions the newest version starts on this event.
    async fn definitions_starting_on(&self, event: &EventName) -> Result<Vec<DefinitionName>, Error>;

    /// Starts sagas: each with its first tasks and timers, or not at all.
    async fn start_sagas(&self, sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error>;

    /// Starts all of these sagas, beside those that exist, or none: where one cannot begin nothing is stored.
    async fn start_sagas_together(&self, sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error>;

    /// What an idempotency key stands for, if it was used before.
    async fn saga_of_key(&self, key: &IdempotencyKey) -> Result<Option<KeyedSaga>, Error>;

    /// Looks at sagas, each at what has arrived in its order and then at what its caller brings.
    async fn advance_sagas(&self, advances: &[Advance], now: Timestamp) -> Result<Vec<AdvanceOutcome>, Error>;

    /// Lets a saga go on by another version of its definition.
    async fn migrate_saga(&self, migration: &MigrateSaga, now: Timestamp) -> Result<MigrateOutcome, Error>;

    /// Sagas that have something to look at, in the order of their ids: the first behind `after`. Whoever goes round comes to all of
    /// them, also past those that cannot be looked at.
    async fn unlooked_sagas(&self, after: Option<SagaId>, limit: usize) -> Result<Vec<SagaId>, Error>;

    /// Turns timers that are due into rows to be looked at.
    async fn fire_saga_timers(&self, limit: usize, now: Timestamp) -> Result<FiredTimers, Error>;

    /// The `most` of its timers that are due first, in that order.
    async fn saga_timers(&self, saga: SagaId, most: usize) -> Result<Vec<PendingTimer>, Error>;

    async fn saga(&self, saga: SagaId) -> Result<Option<Saga>, Error>;

    /// Where these sagas stand; those that do not exist are left out.
    async fn saga_stands(&self, sagas: &[SagaId]) -> Result<Vec<(SagaId, Stand)>, Error>;

    /// How many sagas there are in each status that something leaves; a status without any may be missing.
    async fn count_live_sagas(&self) -> Result<BTreeMap<SagaStatus, u64>, Error>;

    /// The live sagas with this correlation id, and whether there are any that are over.
    async fn addressees(&self, correlation_id: &str) -> Result<Vec<Addressee>, Error>;

    /// The one with the highest number of those that follow each other under one key: their correlation ids are the key, `key#2`,
    /// `key#3` and so on. Those that retention has taken are missing at the beginning. No key has a `#`.
    async fn last_of_series(&self, definition: &DefinitionName, key: &str) -> Result<Option<Saga>, Error>;

    /// `before` is the `next` of the page before. A page may end before `limit`, and even be empty: see
    /// [`PAGE_BYTES`](crate::PAGE_BYTES), and it looks at no more sagas than [`UNINDEXED_SCAN`](crate::UNINDEXED_SCAN).
    async fn sagas(&self, filter: &SagaFilter, before: Option<SagaId>, limit: usize) -> Result<SagaPage, Error>;

    /// `after` is the `next` of the page before. A page may end before `limit`: see [`PAGE_BYTES`](crate::PAGE_BYTES).
    async fn saga_history(&self, saga: SagaId, after: Option<u64>, limit: usize) -> Result<HistoryPage, Error>;
}
