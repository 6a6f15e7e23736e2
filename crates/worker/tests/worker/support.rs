//! A worker with the loops of an engine beside it, on a database in memory and without a broker.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orchestratum_core::task::{AttemptOutcome, SpecLimits, TaskDraft, TaskSpec, TaskStatus};
use orchestratum_core::{JsonText, Origin, TaskId, Timestamp};
use orchestratum_engine::clock::Clock;
use orchestratum_engine::tasks::{CreateTasks, CreatedTasks};
use orchestratum_engine::{Engine, Settings, identity};
use orchestratum_sandbox::Shim;
use orchestratum_store::{Announce, Attempt, CreateRequest, NewTask, Store, Task};
use orchestratum_testkit::Schema;
use orchestratum_worker::{Builder, Worker};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::{Gate, GatedStore, Given};

pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Programs are ordinary processes.
pub(crate) const OPEN: (&str, &str) = ("worker.isolation", "off");

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) work_dir: TempDir,
    /// Of the tasks that are created.
    pub(crate) origin: Origin,
    stop_background: CancellationToken,
    schema: Option<Schema>,
}

pub(crate) struct RunningWorker {
    pub(crate) stop: CancellationToken,
    pub(crate) kill: CancellationToken,
    handle: JoinHandle<Result<(), orchestratum_worker::Error>>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(overrides: &[(&str, &str)]) -> Self {
        Self::assemble(overrides, Clock::from_sample, |store| store).await
    }

    /// With programs that are ordinary processes, so that they can tell a test of themselves by files.
    pub(crate) async fn open(overrides: &[(&str, &str)]) -> Self {
        Self::with(&[&[OPEN], overrides].concat()).await
    }

    /// With a worker that compiles and runs C#, by the runtime of the tests.
    pub(crate) async fn csharp(overrides: &[(&str, &str)]) -> Self {
        let runtime = std::env::var("CSHARP_RUNTIME")
            .expect("these tests need a runtime of C#: run `cargo xtask test`, which brings one");
        // The folder of a machine's own runtime may be nobody's to write into.
        let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/csharp-tools");
        let csharp = [("worker.csharp", runtime.as_str()), ("worker.csharp_cache", cache)];
        Self::with(&[&csharp, overrides].concat()).await
    }

    /// With a clock that falls behind the database's, like a slow one but sooner.
    pub(crate) async fn with_a_clock_that_stands_still(overrides: &[(&str, &str)]) -> Self {
        Self::assemble(overrides, Clock::manual, |store| store).await
    }

    /// With a gate in front of the claims of the lane that offers `name`.
    pub(crate) async fn gated(name: &str, overrides: &[(&str, &str)]) -> (Self, Gate) {
        let (arrivals, gate) = Gate::new();
        let bench = Self::assemble(overrides, Clock::from_sample, |store| {
            Arc::new(GatedStore::new(store, name, arrivals))
        })
        .await;
        (bench, gate)
    }

    /// With a count of the statements that append logs.
    pub(crate) async fn counting_appends(overrides: &[(&str, &str)]) -> (Self, impl Fn() -> usize) {
        let appends = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&appends);
        let bench = Self::assemble(overrides, Clock::from_sample, |store| {
            Arc::new(GatedStore::counting_appends(store, counter))
        })
        .await;
        (bench, move || appends.load(Ordering::Relaxed))
    }

    async fn assemble(
        overrides: &[(&str, &str)],
        clock: fn(Timestamp) -> Clock,
        wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Self {
        let work_dir = tempfile::tempdir().expect("a folder");
        let folder = work_dir.path().to_str().expect("UTF-8").to_owned();
        let mut settings = vec![
            ("database.url", "sqlite::memory:"),
            ("broker.url", "database"),
            ("worker.work_dir", &folder),
            ("worker.listen", ""),
            ("worker.lease_seconds", "3"),
            ("worker.kill_grace_seconds", "0.3"),
            ("worker.concurrency", "4"),
            // Those tests that want one bring one along, and this machine may have another.
            ("worker.csharp", "/no/such/folder"),
        ];
        settings.extend_from_slice(overrides);
        let settings = Settings::load_with(&settings).expect("valid settings");
        let store = orchestratum_store::connect(settings.database.url.expose_secret(), &settings.database.options())
            .await
            .expect("a database in memory");
        store.migrate().await.expect("the schema is made");
        let store = wrap(store);
        let broker =
            orchestratum_broker::connect("database", &orchestratum_broker::Options::default(), Arc::clone(&store))
                .await
                .expect("no broker is needed");
        let clock = clock(store.database_time().await.expect("it tells"));
        let engine = Engine::assemble(settings, store, broker, clock);
        let stop_background = CancellationToken::new();
        engine.start_background(true, &TaskTracker::new(), &stop_background);
        Self {
            engine,
            work_dir,
            origin: Origin::default(),
            stop_background,
            schema: None,
        }
    }

    /// On PostgreSQL, in a schema of its own, with a record of what workers are given.
    pub(crate) async fn recording_on_postgres(overrides: &[(&str, &str)]) -> (Self, Arc<Given>) {
        let url = std::env::var("DATABASE_URL").expect("these tests need PostgreSQL: run `cargo xtask test`");
        let schema = Schema::unique(&url).await.expect("a schema");
        let database = [("database.url", url.as_str()), ("database.schema", schema.name())];
        let given: Arc<Given> = Arc::default();
        let record = Arc::clone(&given);
        let mut bench = Self::assemble(&[&database, overrides].concat(), Clock::from_sample, |store| {
            Arc::new(GatedStore::recording(store, record))
        })
        .await;
        bench.schema = Some(schema);
        (bench, given)
    }

    pub(crate) async fn worker(&self) -> RunningWorker {
        self.worker_with(|builder| builder).await
    }

    pub(crate) async fn worker_with(&self, configure: impl FnOnce(Builder) -> Builder) -> RunningWorker {
        let builder = Worker::builder(self.engine.clone()).shim(Shim::at(env!("CARGO_BIN_EXE_orchestratum-worker")));
        let worker = configure(builder).build().await.expect("a worker");
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let handle = tokio::spawn(worker.run(stop.clone(), kill.clone()));
        RunningWorker { stop, kill, handle }
    }

    pub(crate) async fn create(&self, task: Value) -> TaskId {
        let request = CreateTasks {
            drafts: vec![draft(&task)],
            chosen_id: None,
            idempotency: None,
            indexed: false,
            origin: self.origin.clone(),
        };
        match self.engine.create(request).await.expect("it is created") {
            CreatedTasks::Created(tasks) => tasks[0].spec.id,
            other => panic!("{other:?}"),
        }
    }

    /// Stores a task whose input was not checked for its name.
    pub(crate) async fn store_unchecked(&self, name: &str, task: Value) -> TaskId {
        let draft = TaskDraft {
            name: "echo".to_owned(),
            ..draft(&task)
        };
        let (id, now) = (identity::chosen_task_id(), self.engine.clock().now());
        let (spec, life) = draft
            .check("", id, &SpecLimits::default(), now)
            .expect("an echo takes anything");
        let task = NewTask {
            spec: TaskSpec {
                name: name.parse().expect("a name"),
                ..spec
            },
            life,
            announce: Announce::ByCaller,
            request_hash: None,
            origin: Origin::default(),
        };
        let request = CreateRequest {
            tasks: vec![task],
            idempotency: None,
        };
        self.engine.store().create(&[request], now).await.expect("it is stored");
        id
    }

    /// Creates a task and waits for its end.
    pub(crate) async fn run(&self, task: Value) -> Task {
        let id = self.create(task).await;
        self.ended(id).await
    }

    pub(crate) async fn run_python(&self, code: &str) -> Task {
        self.run(json!({"name": "python", "input": {"code": code}})).await
    }

    pub(crate) async fn run_csharp(&self, code: &str) -> Task {
        self.run(json!({"name": "csharp", "input": {"code": code}})).await
    }

    pub(crate) async fn run_shell(&self, script: &str) -> Task {
        self.run(json!({"name": "shell", "input": {"script": script}})).await
    }

    pub(crate) async fn ended(&self, id: TaskId) -> Task {
        self.until(id, |task| task.life.status().is_terminal()).await
    }

    /// Waits until the task is as it should be, and shows how it was if it never is.
    pub(crate) async fn until(&self, id: TaskId, holds: impl Fn(&Task) -> bool) -> Task {
        let start = Instant::now();
        loop {
            let task = self.engine.task(id).await.expect("it exists");
            if holds(&task) {
                return task;
            }
            assert!(start.elapsed() < BOUND, "{task:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn attempts(&self, id: TaskId) -> Vec<Attempt> {
        let page = self.engine.store().attempts(id, 0).await.expect("they are read");
        assert_eq!(page.next, None, "they fit one page");
        page.items
    }

    pub(crate) async fn outcomes(&self, id: TaskId) -> Vec<AttemptOutcome> {
        self.attempts(id).await.iter().map(|attempt| attempt.outcome).collect()
    }

    pub(crate) async fn logs(&self, id: TaskId) -> String {
        let logs = self.engine.store().logs(id, None, None).await.expect("they are read");
        logs.chunks.into_iter().map(|log| log.chunk.text).collect()
    }

    /// Directories of attempts that are still there.
    pub(crate) fn run_directories(&self) -> Vec<String> {
        let entries = |path: &Path| std::fs::read_dir(path).map(|entries| entries.flatten().collect::<Vec<_>>());
        let workers = entries(self.work_dir.path()).expect("it is there");
        let runs = workers
            .iter()
            .filter_map(|worker| entries(&worker.path()).ok())
            .flatten();
        let names = runs.map(|run| run.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != "lock").collect()
    }
}

fn draft(task: &Value) -> TaskDraft {
    let field = |name: &str| task.get(name).cloned();
    TaskDraft {
        name: task["name"].as_str().unwrap_or_default().to_owned(),
        input: field("input").map(|input| JsonText::new(input.to_string()).expect("valid JSON")),
        ttl_seconds: field("ttl_seconds").and_then(|value| value.as_f64()),
        timeout_seconds: field("timeout_seconds").and_then(|value| value.as_f64()),
        max_retries: field("max_retries").and_then(|value| value.as_i64()),
        backoff: Some(orchestratum_core::task::Backoff::None),
        limits: field("limits").map(|limits| JsonText::new(limits.to_string()).expect("valid JSON")),
        ..TaskDraft::default()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop_background.cancel();
    }
}

impl RunningWorker {
    pub(crate) async fn stopped(self) {
        self.stop.cancel();
        let ended = timeout(BOUND, self.handle).await.expect("it stops in time");
        ended.expect("it does not panic").expect("it ends well");
    }
}

pub(crate) fn output(task: &Task) -> Value {
    assert_eq!(task.life.status(), TaskStatus::Completed, "{task:?}");
    task.output
        .as_ref()
        .expect("it has an output")
        .parse()
        .expect("it is JSON")
}

pub(crate) fn error(task: &Task) -> String {
    use orchestratum_core::task::TaskState;
    match &task.life.state {
        TaskState::Failed { error, .. } | TaskState::Expired { error, .. } | TaskState::Cancelled { error, .. } => {
            format!("{:?}: {}", error.kind, error.message)
        }
        TaskState::Pending { .. } | TaskState::InProgress { .. } | TaskState::Completed { .. } => panic!("{task:?}"),
    }
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < BOUND, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Those of the process ids in a file that are alive.
pub(crate) fn alive(ids: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(ids).unwrap_or_default();
    text.split_whitespace()
        .filter(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z ")))
        .map(str::to_owned)
        .collect()
}
