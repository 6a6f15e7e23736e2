//! What every behaviour needs: a fresh store, a clock that only moves when told, and short words for common steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orchestratum_core::task::{
    Backoff, Ending, ErrorCode, Progress, RetryPolicy, SpecLimits, TaskDraft, TaskEvent, TaskState, TaskStatus,
};
use orchestratum_core::{Origin, Target, TaskId, TaskName, Timestamp, WorkerId};
use uuid::Uuid;

use orchestratum_store::{
    Announce, Attempt, Audit, Change, ChangeOutcome, Changed, ClaimRequest, ClaimedTask, CreateOutcome, CreateRequest,
    Evidence, IdempotencyKey, NewTask, Registration, Store, Task,
};

/// 2026-01-01T00:00:00Z, so that times look like times in a failed assertion.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// The lease of the workers here.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The shortest time there is.
pub(crate) const TICK: Duration = Duration::from_micros(1);

/// The last moment before `duration` is over.
pub(crate) fn just_before(duration: Duration) -> Duration {
    duration.saturating_sub(TICK)
}

static IDENTITY: AtomicU64 = AtomicU64::new(1);

/// A UUIDv7 made at `now`, later in order than every one before it.
fn next_id(now: Timestamp) -> Uuid {
    let sequence = IDENTITY.fetch_add(1, Ordering::Relaxed);
    let milliseconds = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
    let high = (milliseconds << 16) | 0x7000 | ((sequence >> 32) & 0xfff);
    Uuid::from_u64_pair(high, (1 << 63) | (sequence & 0xffff_ffff))
}

pub(crate) fn target(text: &str) -> Target {
    text.parse().expect("a valid target")
}

pub(crate) fn name(text: &str) -> TaskName {
    text.parse().expect("a valid name")
}

pub(crate) fn audit(action: &'static str) -> Audit {
    Audit {
        actor: Some("key".to_owned()),
        action,
        detail: None,
    }
}

/// A draft of a task that only has a name.
pub(crate) fn draft(name: &str) -> TaskDraft {
    TaskDraft {
        name: name.to_owned(),
        ..TaskDraft::default()
    }
}

/// A report by a worker.
pub(crate) fn report(task: &ClaimedTask, ending: Ending) -> Change {
    report_of(task.id, task.attempt, ending)
}

pub(crate) fn report_of(task: TaskId, attempt: u32, ending: Ending) -> Change {
    let report = orchestratum_core::task::Report {
        attempt,
        ending,
        chance: 0.5,
    };
    Change::new(task, TaskEvent::Reported(report))
}

pub(crate) fn failure() -> Ending {
    Ending::Failed {
        message: "Traceback: it is\nbroken".to_owned(),
        retryable: true,
        code: ErrorCode::new("broken").ok(),
    }
}

pub(crate) fn retries(count: u16, backoff: Backoff) -> RetryPolicy {
    RetryPolicy {
        max_retries: count,
        backoff,
        ..RetryPolicy::DEFAULT
    }
}

/// The change was made.
#[track_caller]
pub(crate) fn done(outcome: ChangeOutcome) -> Changed {
    match outcome {
        ChangeOutcome::Done(changed) => changed,
        other => panic!("expected the change to be made, not {other:?}"),
    }
}

/// A store with a clock in the hand of the test.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) now: Timestamp,
}

impl Lab {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, now: START }
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    pub(crate) fn id(&self) -> TaskId {
        TaskId(next_id(self.now))
    }

    /// A task that meets every rule, not yet stored.
    pub(crate) fn task_of(&self, draft: TaskDraft) -> NewTask {
        let (spec, life) = draft
            .check("", self.id(), &SpecLimits::default(), self.now)
            .expect("a draft that meets the rules");
        NewTask {
            spec,
            life,
            announce: Announce::ByFeeder,
            request_hash: None,
            origin: Origin::default(),
        }
    }

    pub(crate) async fn try_create(&self, tasks: Vec<NewTask>, idempotency: Option<IdempotencyKey>) -> CreateOutcome {
        let request = CreateRequest { tasks, idempotency };
        let mut outcomes = self.store.create(&[request], self.now).await.expect("the store works");
        assert_eq!(outcomes.len(), 1, "one answer a request");
        outcomes.remove(0)
    }

    pub(crate) async fn create_new(&self, task: NewTask) -> TaskId {
        let id = task.spec.id;
        assert_eq!(self.try_create(vec![task], None).await, CreateOutcome::Created);
        id
    }

    pub(crate) async fn create(&self, draft: TaskDraft) -> TaskId {
        self.create_new(self.task_of(draft)).await
    }

    /// A task with a retry policy of its own.
    pub(crate) async fn create_with(&self, draft: TaskDraft, policy: RetryPolicy) -> TaskId {
        self.create(TaskDraft {
            max_retries: Some(i64::from(policy.max_retries)),
            max_losses: Some(i64::from(policy.max_losses)),
            backoff: Some(policy.backoff),
            ..draft
        })
        .await
    }

    pub(crate) fn registration(&self, targets: &[&str], names: &[&str]) -> Registration {
        Registration {
            id: WorkerId(next_id(self.now)),
            name: "worker".to_owned(),
            targets: targets.iter().map(|text| target(text)).collect(),
            names: names.iter().map(|text| name(text)).collect(),
            capacity: 4,
            isolation: "off".to_owned(),
            environments: Vec::new(),
            version: "0.1.0".to_owned(),
            lease: LEASE,
        }
    }

    /// A live worker of these targets and names.
    pub(crate) async fn worker(&self, targets: &[&str], names: &[&str]) -> WorkerId {
        let registration = self.registration(targets, names);
        self.store
            .register(&registration, self.now)
            .await
            .expect("the store works");
        registration.id
    }

    /// A live worker of `default` that knows `echo`.
    pub(crate) async fn echo_worker(&self) -> WorkerId {
        self.worker(&["default"], &["echo"]).await
    }

    /// What [`echo_worker`](Self::echo_worker) asks for.
    #[expect(clippy::unused_self, reason = "it is about the worker of this lab")]
    pub(crate) fn request(&self, worker: WorkerId) -> ClaimRequest {
        ClaimRequest {
            worker,
            named: Vec::new(),
            targets: vec![target("default")],
            names: vec![name("echo")],
            limit: 100,
            fill_up: true,
        }
    }

    pub(crate) async fn claim_as(&self, request: &ClaimRequest) -> Vec<ClaimedTask> {
        self.store.claim(request, self.now).await.expect("the store works")
    }

    pub(crate) async fn claim(&self, worker: WorkerId) -> Vec<ClaimedTask> {
        self.claim_as(&self.request(worker)).await
    }

    /// The ids of what the request is given.
    pub(crate) async fn claimed_ids(&self, request: &ClaimRequest) -> Vec<TaskId> {
        self.claim_as(request).await.into_iter().map(|task| task.id).collect()
    }

    /// Claims the one task there is.
    pub(crate) async fn claim_one(&self, worker: WorkerId) -> ClaimedTask {
        let mut claimed = self.claim(worker).await;
        assert_eq!(claimed.len(), 1, "one task to claim");
        claimed.remove(0)
    }

    /// Creates a task and lets a new worker claim it.
    pub(crate) async fn running(&self, draft: TaskDraft) -> ClaimedTask {
        let id = self.create(draft).await;
        let worker = self.echo_worker().await;
        let claimed = self.claim_one(worker).await;
        assert_eq!(claimed.id, id, "the task that was just created");
        claimed
    }

    /// The same while others wait that the worker is not to take.
    pub(crate) async fn running_beside(&self, draft: TaskDraft) -> ClaimedTask {
        let id = self.create(draft).await;
        let worker = self.echo_worker().await;
        let request = ClaimRequest {
            named: vec![id],
            fill_up: false,
            ..self.request(worker)
        };
        let mut claimed = self.claim_as(&request).await;
        assert_eq!(claimed.len(), 1, "the task that was just created");
        claimed.remove(0)
    }

    pub(crate) async fn apply(&self, change: Change) -> ChangeOutcome {
        let mut outcomes = self.apply_all(vec![change]).await;
        outcomes.remove(0)
    }

    pub(crate) async fn apply_all(&self, changes: Vec<Change>) -> Vec<ChangeOutcome> {
        let outcomes = self.store.apply(&changes, self.now).await.expect("the store works");
        assert_eq!(outcomes.len(), changes.len(), "one outcome a change");
        outcomes
    }

    /// Puts an event that must be taken.
    pub(crate) async fn put(&self, task: TaskId, event: TaskEvent) -> Changed {
        done(self.apply(Change::new(task, event)).await)
    }

    /// Reports an ending that must be taken.
    pub(crate) async fn end(&self, task: &ClaimedTask, ending: Ending) -> Changed {
        done(self.apply(report(task, ending)).await)
    }

    /// A task that is over.
    pub(crate) async fn finished(&self, draft: TaskDraft) -> TaskId {
        let claimed = self.running(draft).await;
        self.end(&claimed, Ending::Success).await;
        claimed.id
    }

    pub(crate) async fn task(&self, id: TaskId) -> Task {
        self.store
            .task(id)
            .await
            .expect("the store works")
            .expect("the task exists")
    }

    pub(crate) async fn status(&self, id: TaskId) -> TaskStatus {
        self.task(id).await.life.status()
    }

    pub(crate) async fn attempts(&self, id: TaskId) -> Vec<Attempt> {
        let page = self.store.attempts(id, 0).await.expect("the store works");
        assert_eq!(page.next, None, "they fit one page");
        page.items
    }

    /// When the pending task becomes due.
    pub(crate) async fn due_at(&self, id: TaskId) -> Timestamp {
        match self.task(id).await.life.state {
            TaskState::Pending { due_at } => due_at,
            other => panic!("expected a pending task, not {other:?}"),
        }
    }

    /// What a reader sees of a changed task is what the change said.
    pub(crate) async fn assert_reads_as(&self, changed: &Changed) -> Task {
        let task = self.task(changed.task).await;
        assert_eq!(task.life, changed.life, "what is read is what was answered");
        assert_eq!(task.spec.target, changed.target);
        let dispatch = self.store.dispatch(changed.task).await.expect("the store works");
        match &task.life.state {
            TaskState::Pending { due_at } => {
                let dispatch = dispatch.expect("a pending task has a dispatch row");
                assert_eq!(dispatch.due_at, *due_at);
                assert_eq!(dispatch.expires_at, task.life.expires_at);
                assert_eq!(dispatch.target, task.spec.target);
                assert_eq!(dispatch.name, task.spec.name);
                assert_eq!(dispatch.delayed, *due_at > self.now);
            }
            _ => assert_eq!(dispatch, None, "only a pending task has a dispatch row"),
        }
        task
    }

    /// Nothing that was done here broke a rule of the data.
    pub(crate) async fn assert_sound(&self) {
        let broken = self
            .store
            .broken_invariants(self.now, 10)
            .await
            .expect("the store works");
        assert!(broken.is_empty(), "broken invariants: {broken:?}");
    }
}

/// So many quarters of the work.
pub(crate) fn progress(quarters: u32) -> Progress {
    Progress::new(f64::from(quarters) / 4.0).expect("a share")
}

/// Everything an attempt can leave.
pub(crate) fn evidence(output: &str) -> Evidence {
    use orchestratum_store::{LogChunk, LogStream};
    let chunk = |stream, sequence, text: &str| LogChunk {
        stream,
        sequence,
        text: text.to_owned(),
    };
    Evidence {
        output: Some(orchestratum_core::JsonText::new(output.to_owned()).expect("JSON")),
        exit_code: Some(0),
        peak_memory_bytes: Some(5_000_000_000),
        progress: Some(progress(3)),
        logs: vec![
            chunk(LogStream::Stdout, 0, "first\n"),
            chunk(LogStream::Stderr, 1, "a warning: ü ✓\n"),
            chunk(LogStream::Stdout, 2, "second\n"),
        ],
        follow_ups: Vec::new(),
    }
}
