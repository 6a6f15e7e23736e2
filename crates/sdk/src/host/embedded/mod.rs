//! An engine, its loops and a worker inside this process.

mod sagas;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::task::{TaskState, Violations};
use orchestratum_core::{JsonText, Origin};
use orchestratum_engine::tasks::{CancelledTask, CreateTasks, CreatedTasks};
use orchestratum_engine::{Engine, Error as EngineError, Settings};
use orchestratum_store::Task;
use orchestratum_worker::Worker;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Host, Life};
use crate::builder::Options;
use crate::entry::Entry;
use crate::registry::Registry;
use crate::run::InWorker;
use crate::{CommandId, Error, Fault, Followers, MissingFollower, Orchestratum, Status};

/// How many of what came after a command are answered.
const FOLLOWERS: usize = 1_000;
const FOLLOWERS_BYTES: usize = 8 << 20;

/// The loops of an engine in this process.
pub(super) struct Loops {
    engine: Engine,
    stop: CancellationToken,
    running: TaskTracker,
}

/// What callers may do with an engine.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    pub(crate) engine: Engine,
    pub(crate) default_target: Option<String>,
}

pub(crate) async fn start(url: &str, options: &Options, registry: Registry) -> Result<Orchestratum, Error> {
    let settings = settings(url, options)?;
    let engine = Engine::connect(settings).await.map_err(Error::Engine)?;
    engine.migrate().await.map_err(Error::Engine)?;
    let commands: Arc<dyn Host> = Arc::new(Commands {
        engine: engine.clone(),
        default_target: options.targets.first().cloned(),
    });
    let mut builder = Worker::builder(engine.clone()).handlers_only();
    let has_handlers = !registry.is_empty();
    for (name, run) in registry.into_runs() {
        let orchestratum = Orchestratum::of(Arc::clone(&commands));
        builder = builder.handler(name, InWorker { run, orchestratum });
    }
    let worker = builder.build().await.map_err(Error::Worker)?;
    let loops = Loops::start(engine);
    let life = if has_handlers {
        let stop = CancellationToken::new();
        let work = worker.run(stop.clone(), CancellationToken::new());
        let work = async { work.await.map_err(Error::Worker) };
        Life::working(stop, work, Some(loops))
    } else {
        Life::idle(Some(loops))
    };
    Ok(Orchestratum::alive(commands, life))
}

impl Loops {
    fn start(engine: Engine) -> Self {
        let (running, stop) = (TaskTracker::new(), CancellationToken::new());
        engine.start_background(true, &running, &stop);
        running.close();
        Self { engine, stop, running }
    }

    pub(super) async fn end(&self) {
        self.engine.stop_waiting();
        self.stop.cancel();
        self.running.wait().await;
        self.engine.close().await;
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn settings(url: &str, options: &Options) -> Result<Settings, Error> {
    // None of them may be nothing at all.
    let seconds = |duration: &Duration| duration.as_secs_f64().max(0.001).to_string();
    let targets = options.targets.join(",");
    let broker = options.broker.as_deref().unwrap_or("database");
    let mut chosen = vec![
        ("database.url", url.to_owned()),
        ("broker.url", broker.to_owned()),
        ("worker.targets", targets),
        // Only workers that are programs of their own tell over HTTP how they are.
        ("worker.listen", String::new()),
        // A command may take as long as it may live.
        ("tasks.max_timeout_seconds", "3155760000".to_owned()),
    ];
    let told = [
        ("database.schema", options.schema.clone()),
        (
            "worker.in_process_concurrency",
            options.concurrency.map(|count| count.to_string()),
        ),
        ("worker.max_claim", options.max_claim.map(|count| count.to_string())),
        (
            "worker.poll_interval_seconds",
            options.poll_interval.as_ref().map(seconds),
        ),
        ("worker.lease_seconds", options.lease.as_ref().map(seconds)),
        ("worker.kill_grace_seconds", options.grace.as_ref().map(seconds)),
        ("worker.drain_seconds", options.drain.as_ref().map(seconds)),
    ];
    chosen.extend(told.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let chosen: Vec<(&str, &str)> = chosen.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Settings::defaults_with(&chosen).map_err(Error::Settings)
}

#[async_trait]
impl Host for Commands {
    async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error> {
        let entry = entry.with_default_target(self.default_target.as_deref());
        let written = entry.json().map_err(Error::Refused)?;
        let request = CreateTasks {
            drafts: vec![entry.draft().map_err(Error::Refused)?],
            chosen_id: Some((id, hash(&written))),
            idempotency: None,
            indexed: false,
            origin: Origin::default(),
        };
        match self.engine.create(request).await.map_err(|error| told(error, id))? {
            CreatedTasks::Created(_) | CreatedTasks::Replayed(_) | CreatedTasks::Existing(_) => Ok(()),
            CreatedTasks::Met { .. } => Err(Error::Refused("a command like it is there already".to_owned())),
        }
    }

    async fn status(&self, id: CommandId) -> Result<Status, Error> {
        let task = self.engine.task(id).await.map_err(|error| told(error, id))?;
        Ok(task.into())
    }

    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error> {
        let task = self.engine.wait(id, patience).await.map_err(|error| told(error, id))?;
        Ok(task.into())
    }

    async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
        self.status(id).await?;
        let children = self.engine.store().children(&[id], FOLLOWERS, FOLLOWERS_BYTES).await;
        let children = children.map_err(|error| Error::Engine(error.into()))?;
        let missing = children.missing.into_iter().map(|missing| MissingFollower {
            name: missing.name,
            reason: missing.reason,
        });
        Ok(Followers {
            missing: missing.collect(),
            commands: children.tasks.into_iter().map(Status::from).collect(),
        })
    }

    async fn cancel(&self, id: CommandId) -> Result<Status, Error> {
        let cancelled = self.engine.cancel(id, None, None).await;
        match cancelled.map_err(|error| told(error, id))? {
            CancelledTask::Now(task) | CancelledTask::Before(task) => Ok(task.into()),
        }
    }
}

fn hash(entry: &JsonText) -> [u8; 32] {
    Sha256::digest(entry.as_str().as_bytes()).into()
}

fn told(error: EngineError, id: CommandId) -> Error {
    match error {
        EngineError::Invalid(Violations(broken)) => {
            let rules: Vec<String> = broken.iter().map(ToString::to_string).collect();
            Error::Refused(rules.join("; "))
        }
        EngineError::TaskNotFound(_) => Error::NotFound(id),
        EngineError::IdTaken { .. } => Error::IdTaken(id),
        error @ EngineError::Refused { .. } => Error::Refused(error.to_string()),
        error => Error::Engine(error),
    }
}

impl From<Task> for Status {
    fn from(task: Task) -> Self {
        let error = match &task.life.state {
            TaskState::Pending { .. } | TaskState::InProgress { .. } | TaskState::Completed { .. } => None,
            TaskState::Failed { error, .. } | TaskState::Expired { error, .. } | TaskState::Cancelled { error, .. } => {
                Some(error)
            }
        };
        Self {
            id: task.spec.id,
            name: task.spec.name.to_string(),
            target: task.spec.target.to_string(),
            state: task.life.status(),
            attempt: task.life.attempt,
            retries_left: task.life.retries_left,
            progress: task.progress.map(orchestratum_core::task::Progress::share),
            fault: error.map(Fault::from),
            output: task.output,
        }
    }
}
