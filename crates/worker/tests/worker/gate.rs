//! A database whose claims wait, or fail, until a test says so. All else goes through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use orchestratum_core::saga::{CompiledDefinition, DefinitionName, EventName, SagaStatus};
use orchestratum_core::schedule::SchedulePatch;
use orchestratum_core::task::{Bucket, GroupPlace, GroupStatus, TargetRate, TaskStatus};
use orchestratum_core::{GroupId, SagaId, ScheduleId, Target, TaskId, Timestamp, WorkerId};
use orchestratum_store::{
    Addressee, Advance, AdvanceOutcome, ApiKey, AttemptHolder, AttemptPage, Audit, Beaten, BrokenInvariant,
    CancelGroupOutcome, Change, ChangeOutcome, ChangeScheduleOutcome, Children, ClaimRequest, ClaimedTask,
    CreateGroupOutcome, CreateOutcome, CreateRequest, CreateScheduleOutcome, DefinitionHead, DefinitionVersion,
    DeleteGroupOutcome, DeleteOutcome, Dispatch, DispatchStore, EndedLease, Error, ExternalClaim, ExternalStore,
    ExternallyClaimed, Fired, FiredTimers, Group, GroupPage, GroupStore, Heartbeat, HistoryPage, IdempotencyKey,
    KeyStore, KeyWait, KeyedSaga, LeaseKeeper, LiveChild, LiveSagaTask, LogAppend, LogStore, LogStream, LogsFrom,
    Maintenance, MemberPage, MemberSearch, MembersToCancel, MigrateOutcome, MigrateSaga, NewDefinition, NewGroup,
    NewLogs, NewSaga, NewSchedule, Offer, Orphan, OverviewStore, PendingTimer, Pulse, Queue, QueueStore, Ready,
    RecordsBefore, Registration, Saga, SagaFilter, SagaOverview, SagaPage, SagaStore, Schedule, SchedulePage,
    ScheduleStore, Settled, Stand, StartOutcome, Store, StoredDefinition, Task, TaskFilter, TaskLogs, TaskOverview,
    TaskPage, TaskStore, Unoffered, UnofferedSearch, Worker, WorkerStore,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::support::BOUND;

/// Where claims arrive. When it is dropped they all go through.
pub(crate) struct Gate(mpsc::UnboundedReceiver<Arrival>);

/// A claim that waits.
pub(crate) struct Arrival {
    pub(crate) request: ClaimRequest,
    verdict: oneshot::Sender<Verdict>,
}

enum Verdict {
    /// Tells how many tasks it got.
    Pass(oneshot::Sender<usize>),
    Fail,
}

impl Gate {
    pub(crate) fn new() -> (mpsc::UnboundedSender<Arrival>, Self) {
        let (arrivals, arrived) = mpsc::unbounded_channel();
        (arrivals, Self(arrived))
    }

    pub(crate) async fn next(&mut self) -> Arrival {
        let arrived = timeout(BOUND, self.0.recv()).await;
        arrived.expect("a claim in time").expect("the database is there")
    }
}

impl Arrival {
    /// Lets it through, and returns how many tasks it got, when it is back.
    pub(crate) async fn pass(self) -> usize {
        let (back, came_back) = oneshot::channel();
        assert!(self.verdict.send(Verdict::Pass(back)).is_ok(), "it waits");
        let claimed = timeout(BOUND, came_back).await.expect("in time");
        claimed.expect("the claim works")
    }

    pub(crate) fn fail(self) {
        assert!(self.verdict.send(Verdict::Fail).is_ok(), "it waits");
    }
}

#[derive(Debug)]
pub(crate) struct GatedStore {
    inner: Arc<dyn Store>,
    /// How often logs were appended.
    appends: Arc<AtomicUsize>,
    /// Only claims that ask for this name are held up.
    name: String,
    arrivals: mpsc::UnboundedSender<Arrival>,
    given: Arc<Given>,
}

/// What workers were given, by their claims and with looks at sagas.
#[derive(Debug, Default)]
pub(crate) struct Given {
    claimed: Mutex<Vec<TaskId>>,
    gone_on_with: Mutex<Vec<TaskId>>,
    loses_the_next: AtomicBool,
}

impl Given {
    pub(crate) fn claimed(&self) -> Vec<TaskId> {
        self.claimed.lock().clone()
    }

    pub(crate) fn gone_on_with(&self) -> Vec<TaskId> {
        self.gone_on_with.lock().clone()
    }

    /// The next look that gives a task to a worker is done, and its answer lost.
    pub(crate) fn lose_the_next(&self) {
        self.loses_the_next.store(true, Ordering::Relaxed);
    }

    fn looked(&self, outcomes: &[AdvanceOutcome]) -> Result<(), Error> {
        let given = outcomes.iter().filter_map(|outcome| match outcome {
            AdvanceOutcome::Done(advanced) => Some(advanced.claimed.as_ref()?.id),
            _ => None,
        });
        let given: Vec<TaskId> = given.collect();
        let is_lost = !given.is_empty() && self.loses_the_next.swap(false, Ordering::Relaxed);
        self.gone_on_with.lock().extend(given);
        if is_lost { Err(said_so("sagas")) } else { Ok(()) }
    }
}

fn said_so(table: &'static str) -> Error {
    Error::Corrupt {
        table,
        column: "id",
        row: "of a statement".to_owned(),
        detail: "the test says so".to_owned(),
    }
}

impl GatedStore {
    pub(crate) fn new(inner: Arc<dyn Store>, name: &str, arrivals: mpsc::UnboundedSender<Arrival>) -> Self {
        Self {
            inner,
            appends: Arc::default(),
            name: name.to_owned(),
            arrivals,
            given: Arc::default(),
        }
    }

    /// With a record of what workers are given, and no gate.
    pub(crate) fn recording(inner: Arc<dyn Store>, given: Arc<Given>) -> Self {
        let (arrivals, _) = Gate::new();
        Self {
            given,
            ..Self::new(inner, "", arrivals)
        }
    }

    /// With a counter of statements that append logs, and no gate.
    pub(crate) fn counting_appends(inner: Arc<dyn Store>, appends: Arc<AtomicUsize>) -> Self {
        let (arrivals, _) = Gate::new();
        Self {
            appends,
            ..Self::new(inner, "", arrivals)
        }
    }

    async fn gated_claim(&self, request: &ClaimRequest, now: Timestamp) -> Result<Vec<ClaimedTask>, Error> {
        if request.names.iter().all(|name| name.as_str() != self.name) {
            return self.inner.claim(request, now).await;
        }
        let (verdict, told) = oneshot::channel();
        let arrival = Arrival {
            request: request.clone(),
            verdict,
        };
        // If the gate is gone, nobody takes it or says anything about it.
        let _ = self.arrivals.send(arrival);
        match told.await {
            Ok(Verdict::Fail) => Err(said_so("dispatches")),
            Ok(Verdict::Pass(back)) => {
                // What became ready while it waited is ready.
                let now = self.inner.database_time().await?;
                let claimed = self.inner.claim(request, now).await?;
                let _ = back.send(claimed.len());
                Ok(claimed)
            }
            Err(_gone) => self.inner.claim(request, now).await,
        }
    }
}

/// Methods that go through to the store behind, each after its signature.
macro_rules! through {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+ $({ $($own:tt)+ })?; for $trait:ident) => {
        #[async_trait]
        impl $trait for GatedStore {
            $(async fn $name(&self, $($argument: $type),*) -> $answer {
                self.inner.$name($($argument),*).await
            })+
            $($($own)+)?
        }
    };
}

through! {
    create(requests: &[CreateRequest], now: Timestamp) -> Result<Vec<CreateOutcome>, Error>;
    apply(changes: &[Change], now: Timestamp) -> Result<Vec<ChangeOutcome>, Error>;
    delete(task: TaskId, audit: &Audit, now: Timestamp) -> Result<DeleteOutcome, Error>;
    task(task: TaskId) -> Result<Option<Task>, Error>;
    tasks(ids: &[TaskId]) -> Result<Vec<Task>, Error>;
    statuses(ids: &[TaskId]) -> Result<Vec<(TaskId, TaskStatus)>, Error>;
    list(filter: &TaskFilter, before: Option<TaskId>, limit: usize) -> Result<TaskPage, Error>;
    attempts(task: TaskId, after: u32) -> Result<AttemptPage, Error>;
    children(parents: &[TaskId], limit: usize, bytes: usize) -> Result<Children, Error>;
    dispatch(task: TaskId) -> Result<Option<Dispatch>, Error>;
    key_wait(task: TaskId) -> Result<Option<KeyWait>, Error>;
    counts(most: usize) -> Result<BTreeMap<TaskStatus, u64>, Error>;
    {
        async fn claim(&self, request: &ClaimRequest, now: Timestamp) -> Result<Vec<ClaimedTask>, Error> {
            let claimed = self.gated_claim(request, now).await?;
            self.given.claimed.lock().extend(claimed.iter().map(|task| task.id));
            Ok(claimed)
        }
    };
    for TaskStore
}

through! {
    logs(task: TaskId, attempt: Option<u32>, stream: Option<LogStream>) -> Result<TaskLogs, Error>;
    new_logs(asked: &[LogsFrom]) -> Result<Vec<Option<NewLogs>>, Error>;
    {
        async fn append_logs(&self, appends: &[LogAppend]) -> Result<Vec<(TaskId, u32)>, Error> {
            self.appends.fetch_add(1, Ordering::Relaxed);
            self.inner.append_logs(appends).await
        }
    };
    for LogStore
}

through! {
    pulse(now: Timestamp, running_grace: Duration) -> Result<Pulse, Error>;
    release_due(now: Timestamp, limit: usize) -> Result<Vec<Ready>, Error>;
    feed(target: &Target, window: usize, missing: usize, force: bool, now: Timestamp) -> Result<Vec<Ready>, Error>;
    expired_pending(now: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error>;
    overdue_running(deadline: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error>;
    orphans(limit: usize) -> Result<Vec<Orphan>, Error>;
    unoffered(search: &UnofferedSearch) -> Result<Unoffered, Error>;
    ; for DispatchStore
}

through! {
    register(registration: &Registration, now: Timestamp) -> Result<(), Error>;
    leave(worker: WorkerId, now: Timestamp) -> Result<(), Error>;
    mark_dead(now: Timestamp) -> Result<Vec<WorkerId>, Error>;
    lengthen_leases(by: Duration, now: Timestamp) -> Result<(), Error>;
    workers(limit: usize) -> Result<Vec<Worker>, Error>;
    lease_keeper() -> Result<Box<dyn LeaseKeeper>, Error>;
    ; for WorkerStore
}

through! {
    claim_external(claim: &ExternalClaim, now: Timestamp) -> Result<ExternallyClaimed, Error>;
    heartbeat(heartbeat: &Heartbeat, now: Timestamp) -> Result<Option<Beaten>, Error>;
    holders(attempts: &[(TaskId, u32)]) -> Result<Vec<AttemptHolder>, Error>;
    claimable(offers: &[Offer], most: usize, now: Timestamp) -> Result<Vec<(Offer, usize)>, Error>;
    ended_leases(now: Timestamp, limit: usize) -> Result<Vec<EndedLease>, Error>;
    purge_claims(now: Timestamp, limit: usize) -> Result<u64, Error>;
    ; for ExternalStore
}

through! {
    queues() -> Result<Vec<Queue>, Error>;
    ready(target: &Target, most: usize) -> Result<u64, Error>;
    set_paused(target: &Target, paused: bool, audit: &Audit, now: Timestamp) -> Result<(), Error>;
    is_paused(target: &Target) -> Result<bool, Error>;
    set_rate(target: &Target, rate: Option<TargetRate>, audit: &Audit, now: Timestamp) -> Result<(), Error>;
    rate(target: &Target) -> Result<Option<Bucket>, Error>;
    rated_targets() -> Result<Vec<(Target, Bucket)>, Error>;
    ; for QueueStore
}

through! {
    create_schedule(schedule: &NewSchedule, audit: &Audit, now: Timestamp) -> Result<CreateScheduleOutcome, Error>;
    schedule(schedule: ScheduleId) -> Result<Option<Schedule>, Error>;
    schedules(name: Option<&str>, before: Option<ScheduleId>, limit: usize) -> Result<SchedulePage, Error>;
    change_schedule(
        schedule: ScheduleId,
        patch: &SchedulePatch,
        expected_version: Option<u32>,
        audit: &Audit,
        now: Timestamp
    ) -> Result<ChangeScheduleOutcome, Error>;
    delete_schedule(schedule: ScheduleId, audit: &Audit, now: Timestamp) -> Result<bool, Error>;
    fire_schedules(limit: usize, seed: u128, now: Timestamp) -> Result<Fired, Error>;
    due_schedules(limit: usize, now: Timestamp) -> Result<Vec<ScheduleId>, Error>;
    fire_schedule(schedule: ScheduleId, seed: u128, now: Timestamp) -> Result<Fired, Error>;
    put_off_schedule(schedule: ScheduleId, until: Timestamp, detail: &str, now: Timestamp) -> Result<(), Error>;
    wake_schedules(schedules: &[ScheduleId], now: Timestamp) -> Result<(), Error>;
    ; for ScheduleStore
}

through! {
    create_group(group: &NewGroup, now: Timestamp) -> Result<CreateGroupOutcome, Error>;
    group(group: GroupId) -> Result<Option<Group>, Error>;
    group_status(group: GroupId) -> Result<Option<GroupStatus>, Error>;
    member_counts(group: GroupId) -> Result<BTreeMap<TaskStatus, u64>, Error>;
    groups(status: Option<GroupStatus>, before: Option<GroupId>, limit: usize) -> Result<GroupPage, Error>;
    members(search: &MemberSearch) -> Result<MemberPage, Error>;
    cancel_group(
        group: GroupId, reason: Option<&str>, audit: &Audit, now: Timestamp
    ) -> Result<CancelGroupOutcome, Error>;
    delete_group(group: GroupId, audit: &Audit, now: Timestamp) -> Result<DeleteGroupOutcome, Error>;
    unsettled_groups(limit: usize) -> Result<Vec<GroupId>, Error>;
    settle_group(group: GroupId, seed: u128, now: Timestamp) -> Result<Option<Settled>, Error>;
    members_to_cancel(after: Option<GroupPlace>, limit: usize) -> Result<MembersToCancel, Error>;
    ; for GroupStore
}

through! {
    put_definition(definition: &NewDefinition, audit: &Audit, now: Timestamp) -> Result<DefinitionVersion, Error>;
    definition(name: &DefinitionName, version: Option<u32>) -> Result<Option<StoredDefinition>, Error>;
    compiled_definition(name: &DefinitionName, version: u32) -> Result<Option<Arc<CompiledDefinition>>, Error>;
    definitions(after: Option<&DefinitionName>, limit: usize) -> Result<Vec<DefinitionHead>, Error>;
    definition_versions(
        name: &DefinitionName, before: Option<u32>, limit: usize
    ) -> Result<Vec<DefinitionHead>, Error>;
    defined_of(names: &[DefinitionName]) -> Result<BTreeSet<DefinitionName>, Error>;
    definitions_starting_on(event: &EventName) -> Result<Vec<DefinitionName>, Error>;
    start_sagas(sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error>;
    start_sagas_together(sagas: &[NewSaga], now: Timestamp) -> Result<Vec<StartOutcome>, Error>;
    saga_of_key(key: &IdempotencyKey) -> Result<Option<KeyedSaga>, Error>;
    migrate_saga(migration: &MigrateSaga, now: Timestamp) -> Result<MigrateOutcome, Error>;
    unlooked_sagas(after: Option<SagaId>, limit: usize) -> Result<Vec<SagaId>, Error>;
    fire_saga_timers(limit: usize, now: Timestamp) -> Result<FiredTimers, Error>;
    saga_timers(saga: SagaId, most: usize) -> Result<Vec<PendingTimer>, Error>;
    count_live_sagas() -> Result<BTreeMap<SagaStatus, u64>, Error>;
    saga(saga: SagaId) -> Result<Option<Saga>, Error>;
    saga_stands(sagas: &[SagaId]) -> Result<Vec<(SagaId, Stand)>, Error>;
    addressees(correlation_id: &str) -> Result<Vec<Addressee>, Error>;
    last_of_series(definition: &DefinitionName, key: &str) -> Result<Option<Saga>, Error>;
    sagas(filter: &SagaFilter, before: Option<SagaId>, limit: usize) -> Result<SagaPage, Error>;
    saga_history(saga: SagaId, after: Option<u64>, limit: usize) -> Result<HistoryPage, Error>;
    {
        fn takes_offers(&self) -> bool {
            self.inner.takes_offers()
        }

        async fn advance_sagas(&self, advances: &[Advance], now: Timestamp) -> Result<Vec<AdvanceOutcome>, Error> {
            let outcomes = self.inner.advance_sagas(advances, now).await?;
            self.given.looked(&outcomes)?;
            Ok(outcomes)
        }
    };
    for SagaStore
}

through! {
    task_overviews(tasks: &[TaskId]) -> Result<Vec<TaskOverview>, Error>;
    saga_overviews(sagas: &[SagaId]) -> Result<Vec<SagaOverview>, Error>;
    live_saga_tasks(sagas: &[SagaId], most: usize) -> Result<Vec<LiveSagaTask>, Error>;
    live_children(sagas: &[SagaId], most: usize) -> Result<Vec<LiveChild>, Error>;
    ; for OverviewStore
}

through! {
    insert_key(key: &ApiKey) -> Result<(), Error>;
    insert_first_key(key: &ApiKey) -> Result<bool, Error>;
    key(id: &str) -> Result<Option<ApiKey>, Error>;
    keys() -> Result<Vec<ApiKey>, Error>;
    revoke_key(id: &str, now: Timestamp) -> Result<bool, Error>;
    touch_key(id: &str, now: Timestamp) -> Result<(), Error>;
    ; for KeyStore
}

through! {
    migrate() -> Result<(), Error>;
    check_schema() -> Result<(), Error>;
    database_time() -> Result<Timestamp, Error>;
    purge_finished(before: Timestamp, limit: usize) -> Result<u64, Error>;
    purge_records(before: &RecordsBefore, limit: usize) -> Result<u64, Error>;
    broken_invariants(now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, Error>;
    signal(payload: &str) -> Result<(), Error>;
    signals() -> Result<BoxStream<'static, String>, Error>;
    {
        async fn close(&self) {
            self.inner.close().await;
        }
    };
    for Maintenance
}
