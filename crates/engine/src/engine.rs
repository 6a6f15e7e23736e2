//! The engine: a store, a broker, a clock, and the batchers between them and the use cases.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use orchestratum_broker::{self as broker, Broker, Hint, Signal};
use orchestratum_core::saga::SagaStatus;
use orchestratum_core::task::{Ending, GroupEnds, GroupPlace, TaskEvent, TaskSpec, TaskState, TaskStatus};
use orchestratum_core::{JsonText, SagaId, TaskId, Timestamp};
use orchestratum_store::{
    self as store, Advance, Change, ChangeOutcome, Changed, CreateOutcome, CreateRequest, Followed, ManualClock,
    NewSaga, StartOutcome, Store,
};
use parking_lot::Mutex;
use secrecy::ExposeSecret;

use crate::announce::{Announcer, hint};
use crate::aside::Aside;
use crate::batcher::{Batcher, Bounds, Weight};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::external::{Holders, Pollers};
use crate::follows::Follows;
use crate::gitlab::Calls;
use crate::health::{self, Health};
use crate::journal::{self, Reason};
use crate::kept::{Keeping, Kept};
use crate::keys::KeyCache;
use crate::queues::Queues;
use crate::sagas::{self, BegunTogether, Driver, Together, Tried, Turn};
use crate::signals::Signals;
use crate::tasks::Counts;
use crate::waiters::Waiters;
use crate::{Error, Settings, identity, loops};

/// Everything a process needs to do its part. Cheap to clone; every clone is the same engine.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) parts: Arc<Parts>,
}

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Clock,
    pub(crate) creations: Batcher<CreateRequest, CreateOutcome>,
    /// Successes travel alone: a batch of nothing else is one statement, and most reports are successes.
    pub(crate) successes: Batcher<Change, ChangeOutcome>,
    /// Successes whose workers go on with what follows: written in another way, so also with their like.
    pub(crate) continuations: Batcher<Change, ChangeOutcome>,
    pub(crate) changes: Batcher<Change, ChangeOutcome>,
    pub(crate) saga_starts: Batcher<NewSaga, StartOutcome>,
    pub(crate) bound_starts: Batcher<Together, BegunTogether>,
    pub(crate) saga_advances: Batcher<Advance, Tried>,
    /// Those for which a look was not enough.
    pub(crate) saga_advances_again: Batcher<Advance, Tried>,
    pub(crate) driver: Arc<Driver>,
    /// Reading and drawing definitions.
    pub(crate) definitions: Aside,
    pub(crate) announcer: Announcer,
    pub(crate) signals: Signals,
    pub(crate) waiters: Arc<Waiters<TaskId>>,
    pub(crate) saga_waiters: Arc<Waiters<SagaId>>,
    pub(crate) follows: Follows,
    pub(crate) live_changes: Arc<Changes>,
    pub(crate) holders: Holders,
    pub(crate) pollers: Arc<Pollers>,
    /// A release of due tasks is planned already.
    pub(crate) release_planned: AtomicBool,
    /// Timers of sagas are about to be fired.
    pub(crate) firing_planned: AtomicBool,
    /// Up to which saga the loop for sagas has come on its way round.
    pub(crate) sagas_behind: Mutex<Option<SagaId>>,
    /// Groups are about to be settled.
    pub(crate) settling_planned: AtomicBool,
    /// Up to which member the groups that are to stop were looked at.
    pub(crate) members_walked: Mutex<Option<GroupPlace>>,
    pub(crate) turns: loops::Turns,
    pub(crate) keys: KeyCache,
    pub(crate) counts: Arc<Kept<Counts>>,
    pub(crate) queues: Arc<Kept<Queues>>,
    pub(crate) live_sagas: Arc<Kept<BTreeMap<SagaStatus, u64>>>,
    pub(crate) health: Arc<Kept<Health>>,
    /// Where the settings name one.
    pub(crate) gitlab: Option<Calls>,
}

impl Engine {
    /// Connects to the database and the broker of the settings. The schema is not touched: see [`Engine::migrate`].
    pub async fn connect(settings: Settings) -> Result<Self, Error> {
        Self::connect_by(settings, None).await
    }

    /// The same on a clock that begins at `start` and that only [`Engine::advance_clock`] moves, for tests of a whole server: the
    /// workers of the database, which is SQLite, are to be in this process, or to claim over HTTP.
    pub async fn connect_with_manual_clock(settings: Settings, start: Timestamp) -> Result<Self, Error> {
        Self::connect_by(settings, Some(ManualClock::starting_at(start))).await
    }

    async fn connect_by(settings: Settings, manual: Option<ManualClock>) -> Result<Self, Error> {
        let database = store::Options {
            limits: settings.tasks.limits(),
            clock: manual.clone(),
            ..settings.database.options()
        };
        let store = store::connect(settings.database.url.expose_secret(), &database).await?;
        let clock = match manual {
            Some(manual) => Clock::by_hand(manual),
            None => Clock::from_sample(store.database_time().await?),
        };
        let options = broker::Options {
            prefix: settings.broker.prefix.clone(),
            prefetch: settings.broker.prefetch,
        };
        let broker = broker::connect(settings.broker.url.expose_secret(), &options, Arc::clone(&store)).await?;
        Ok(Self::assemble(settings, store, broker, clock))
    }

    /// An engine from parts that exist, such as a store in memory and a manual clock.
    pub fn assemble(settings: Settings, store: Arc<dyn Store>, broker: Arc<dyn Broker>, clock: Clock) -> Self {
        let creations = {
            let (store, clock) = (Arc::clone(&store), clock.clone());
            Batcher::start(
                Bounds::HOT_PATH,
                creation_weight,
                move |requests: Arc<Vec<CreateRequest>>| {
                    let (store, clock) = (Arc::clone(&store), clock.clone());
                    async move { store.create(&requests, clock.now()).await }
                },
            )
        };
        let successes = changes_batcher(&store, &clock);
        let continuations = changes_batcher(&store, &clock);
        let changes = changes_batcher(&store, &clock);
        let waiters = Arc::new(Waiters::default());
        let patience = settings.database.options().timeout;
        let widths = Arc::default();
        let parts = Arc::new_cyclic(|engine| Parts {
            saga_starts: sagas::start_batcher(Weak::clone(engine), &store, &clock),
            bound_starts: sagas::together_batcher(Weak::clone(engine), &store, &clock),
            saga_advances: sagas::look_batcher(Weak::clone(engine), &store, &clock, (Turn::First, &widths)),
            saga_advances_again: sagas::look_batcher(Weak::clone(engine), &store, &clock, (Turn::Again, &widths)),
            counts: Arc::new(Kept::new(Keeping::ManyTimesItsCost, patience)),
            queues: Arc::new(Kept::new(Keeping::ManyTimesItsCost, patience)),
            live_sagas: Arc::new(Kept::new(Keeping::ManyTimesItsCost, patience)),
            health: Arc::new(Kept::new(Keeping::For(health::KEPT_FOR), health::OTHERS_PATIENCE)),
            gitlab: settings
                .gitlab
                .client()
                .expect("checked when the settings were read")
                .map(Calls::new),
            announcer: Announcer::start(Arc::clone(&broker), settings.broker.window),
            signals: Signals::start(Arc::clone(&broker)),
            keys: KeyCache::new(&settings.auth),
            follows: Follows::new(settings.api.max_followers),
            live_changes: Arc::default(),
            holders: Holders::start(&store),
            pollers: Arc::default(),
            settings,
            store,
            broker,
            clock,
            creations,
            successes,
            continuations,
            changes,
            driver: Arc::default(),
            definitions: Aside::default(),
            waiters,
            saga_waiters: Arc::default(),
            firing_planned: AtomicBool::new(false),
            sagas_behind: Mutex::default(),
            release_planned: AtomicBool::new(false),
            settling_planned: AtomicBool::new(false),
            members_walked: Mutex::default(),
            turns: loops::Turns::default(),
        });
        Self { parts }
    }

    /// Brings the schema to the version of this program.
    pub async fn migrate(&self) -> Result<(), Error> {
        Ok(self.parts.store.migrate().await?)
    }

    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    pub fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }

    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.parts.broker
    }

    /// Ends the connections, after what is under way.
    pub async fn close(&self) {
        self.parts.broker.close().await;
        self.parts.store.close().await;
    }

    /// Puts one event to a task, in a batch with others, and does what must follow the commit.
    pub(crate) async fn change(&self, change: Change) -> Result<ChangeOutcome, Error> {
        let outcome = self.change_without_a_look(change).await?;
        if let ChangeOutcome::Done(changed) = &outcome {
            self.look_at_sagas_of(std::slice::from_ref(changed));
        }
        Ok(outcome)
    }

    /// The same, but that its caller has its saga look at the end of the task.
    pub(crate) async fn change_without_a_look(&self, mut change: Change) -> Result<ChangeOutcome, Error> {
        change.seed = identity::seed();
        let batcher = match is_plain_success(&change) {
            true if change.takes.is_some() => &self.parts.continuations,
            true => &self.parts.successes,
            false => &self.parts.changes,
        };
        let reason = Reason::of(&change.event);
        let outcome = batcher.submit(change).await?;
        if let ChangeOutcome::Done(changed) = &outcome {
            self.tell_of_changes(std::slice::from_ref(changed), reason);
        }
        Ok(outcome)
    }

    /// The fast path after a commit: announces what became ready, wakes who waits for what is over. All of it may be
    /// lost with the process: the feeder and the waiters' own questions find it.
    pub(crate) fn after_changes(&self, changes: &[Changed], reason: Reason) {
        self.tell_of_changes(changes, reason);
        self.look_at_sagas_of(changes);
    }

    /// Whoever of the sagas has a task that is over now looks at its end.
    fn look_at_sagas_of(&self, changes: &[Changed]) {
        let ended = changes.iter().filter(|changed| changed.life.status().is_terminal());
        self.look_at_sagas(ended.filter_map(|changed| changed.saga));
    }

    fn tell_of_changes(&self, changes: &[Changed], reason: Reason) {
        let now = self.parts.clock.now();
        let mut finished = Vec::new();
        let mut interrupted = Vec::new();
        let mut ready = Vec::new();
        for changed in changes {
            journal::changed(changed, reason, now);
            self.followed(changed, now, &mut ready);
            ready.extend(changed.admitted.iter().cloned().map(hint));
            match &changed.life.state {
                TaskState::Pending { due_at } if *due_at <= now => ready.push(Hint {
                    task: changed.task,
                    target: changed.target.clone(),
                    name: changed.name.clone(),
                }),
                TaskState::Pending { due_at } if due_at.saturating_since(now) < loops::LOOK_EVERY => {
                    self.release_soon(due_at.saturating_since(now));
                }
                TaskState::Pending { .. } => {}
                TaskState::InProgress { .. } => interrupted.push(changed.task),
                TaskState::Completed { .. }
                | TaskState::Failed { .. }
                | TaskState::Expired { .. }
                | TaskState::Cancelled { .. } => finished.push(changed.task),
            }
        }
        self.moved(|| {
            let again = changes
                .iter()
                .filter(|changed| changed.life.status() == TaskStatus::Pending);
            let followed = changes.iter().flat_map(|changed| &changed.followed.tasks);
            again
                .map(|changed| changed.task)
                .chain(followed.map(|follow_up| follow_up.task))
        });
        self.became_ready(ready);
        if changes.iter().any(counts_for_a_group) {
            self.settle_groups_soon();
        }
        self.ended(&finished);
        if !finished.is_empty() {
            self.parts.signals.send(Signal::Finished { tasks: finished });
        }
        if !interrupted.is_empty() {
            self.parts.signals.send(Signal::Changed { tasks: interrupted });
        }
    }

    /// What was written after a task with its end: told, and announced with what else became ready.
    fn followed(&self, changed: &Changed, now: Timestamp, ready: &mut Vec<Hint>) {
        let Followed { tasks, missing } = &changed.followed;
        if tasks.is_empty() && missing.is_empty() {
            return;
        }
        journal::followed(changed);
        metrics::counter!("orchestratum_follow_ups_total").increment(tasks.len() as u64);
        metrics::counter!("orchestratum_follow_ups_missing_total").increment(missing.len() as u64);
        for task in tasks {
            if task.claimed.is_some() || (task.due_at <= now && task.asks) {
                // The worker that reported its parent has it; or it is among the admitted, or waits.
            } else if task.due_at <= now {
                ready.push(Hint {
                    task: task.task,
                    target: task.target.clone(),
                    name: task.name.clone(),
                });
            } else if task.due_at.saturating_since(now) < loops::LOOK_EVERY {
                self.release_soon(task.due_at.saturating_since(now));
            }
        }
    }

    /// Tells those who follow changes of tasks of which no other signal tells; nothing, while nobody does.
    pub(crate) fn moved<Tasks: IntoIterator<Item = TaskId>>(&self, tasks: impl FnOnce() -> Tasks) {
        if !self.parts.live_changes.is_watched() {
            return;
        }
        let tasks: Vec<TaskId> = tasks().into_iter().collect();
        if !tasks.is_empty() {
            self.parts.signals.send(Signal::Moved { tasks });
        }
    }

    /// Tells of tasks that a commit made ready: those who claim over HTTP here, and the queues.
    pub(crate) fn became_ready(&self, hints: Vec<Hint>) {
        self.parts
            .pollers
            .all_ready(hints.iter().map(|hint| (&hint.target, &hint.name)));
        self.parts.announcer.announce_with_places(hints);
    }

    /// Wakes whoever waits here for the end of these tasks.
    pub(crate) fn ended(&self, tasks: &[TaskId]) {
        self.parts.waiters.ended(tasks);
        self.parts.follows.ended(tasks);
    }
}

fn changes_batcher(store: &Arc<dyn Store>, clock: &Clock) -> Batcher<Change, ChangeOutcome> {
    let (store, clock) = (Arc::clone(store), clock.clone());
    Batcher::start(Bounds::HOT_PATH, change_weight, move |changes: Arc<Vec<Change>>| {
        let (store, clock) = (Arc::clone(&store), clock.clone());
        async move { store.apply(&changes, clock.now()).await }
    })
}

/// Whether a member of a group has ended, or runs once more.
fn counts_for_a_group(changed: &Changed) -> bool {
    changed.group.is_some() && !GroupEnds::of(changed.before, changed.life.status()).is_nothing()
}

fn is_plain_success(change: &Change) -> bool {
    matches!(&change.event, TaskEvent::Reported(report) if report.ending == Ending::Success)
        && change.evidence.logs.is_empty()
        && change.evidence.follow_ups.is_empty()
}

fn creation_weight(request: &CreateRequest) -> Weight {
    Weight {
        rows: request.tasks.len(),
        bytes: request.tasks.iter().map(|task| spec_bytes(&task.spec)).sum(),
    }
}

fn spec_bytes(spec: &TaskSpec) -> usize {
    let labels: usize = spec.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    let description = spec.description.as_ref().map_or(0, String::len);
    let follow_ups = spec.follow_ups.bytes();
    spec.input.len() + spec.limits.as_ref().map_or(0, JsonText::len) + labels + description + follow_ups + 500
}

fn change_weight(change: &Change) -> Weight {
    let input = change.patch.as_ref().and_then(|patch| patch.input.as_ref());
    Weight {
        rows: 1,
        bytes: change.evidence.bytes() + input.map_or(0, JsonText::len) + 200,
    }
}
