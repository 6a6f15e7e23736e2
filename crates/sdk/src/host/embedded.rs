//! An engine, its loops and a worker inside this process.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::task::{TaskState, Violations};
use orchestratum_core::{JsonText, Origin};
use orchestratum_engine::tasks::{CancelledTask, CreateTasks, CreatedTasks};
use orchestratum_engine::{Engine, Error as EngineError, Settings};
use orchestratum_store::Task;
use orchestratum_worker::Worker;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Host;
use crate::builder::Options;
use crate::entry::Entry;
use crate::registry::Registry;
use crate::run::InWorker;
use crate::{CommandId, Error, Fault, Followers, MissingFollower, Status};

/// How many of what came after a command are answered.
const FOLLOWERS: usize = 1_000;
const FOLLOWERS_BYTES: usize = 8 << 20;

pub(crate) struct Embedded {
    commands: Commands,
    /// Ends the worker.
    stop_worker: CancellationToken,
    worker_ended: CancellationToken,
    worker: Mutex<Option<JoinHandle<Result<(), orchestratum_worker::Error>>>>,
    /// Ends the loops, after the worker.
    stop_loops: CancellationToken,
    loops: TaskTracker,
}

/// What callers may do with an engine.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    pub(crate) engine: Engine,
    pub(crate) default_target: Option<String>,
}

pub(crate) async fn start(url: &str, options: &Options, registry: Registry) -> Result<Embedded, Error> {
    let settings = settings(url, options)?;
    let engine = Engine::connect(settings).await.map_err(Error::Engine)?;
    engine.migrate().await.map_err(Error::Engine)?;
    let mut builder = Worker::builder(engine.clone()).handlers_only();
    let has_handlers = !registry.is_empty();
    for (name, run) in registry.into_runs() {
        builder = builder.handler(name, InWorker(run));
    }
    let worker = builder.build().await.map_err(Error::Worker)?;
    let (stop_worker, worker_ended) = (CancellationToken::new(), CancellationToken::new());
    let running = has_handlers.then(|| {
        let (stop, ended) = (stop_worker.clone(), worker_ended.clone());
        tokio::spawn(async move {
            // Also after a panic.
            let _ended = ended.drop_guard();
            worker.run(stop, CancellationToken::new()).await
        })
    });
    let (loops, stop_loops) = (TaskTracker::new(), CancellationToken::new());
    engine.start_background(true, &loops, &stop_loops);
    loops.close();
    Ok(Embedded {
        commands: Commands {
            engine,
            default_target: options.targets.first().cloned(),
        },
        stop_worker,
        worker_ended,
        worker: Mutex::new(running),
        stop_loops,
        loops,
    })
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

impl Commands {
    pub(crate) async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error> {
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

    pub(crate) async fn status(&self, id: CommandId) -> Result<Status, Error> {
        let task = self.engine.task(id).await.map_err(|error| told(error, id))?;
        Ok(task.into())
    }

    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error> {
        let task = self.engine.wait(id, patience).await.map_err(|error| told(error, id))?;
        Ok(task.into())
    }

    pub(crate) async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
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

    pub(crate) async fn cancel(&self, id: CommandId) -> Result<Status, Error> {
        let cancelled = self.engine.cancel(id, None, None).await;
        match cancelled.map_err(|error| told(error, id))? {
            CancelledTask::Now(task) | CancelledTask::Before(task) => Ok(task.into()),
        }
    }
}

#[async_trait]
impl Host for Commands {
    async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error> {
        self.push(id, entry).await
    }

    async fn status(&self, id: CommandId) -> Result<Status, Error> {
        self.status(id).await
    }

    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error> {
        self.wait(id, patience).await
    }

    async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
        self.followers(id).await
    }

    async fn cancel(&self, id: CommandId) -> Result<Status, Error> {
        self.cancel(id).await
    }

    /// It has no worker.
    async fn ended(&self) {
        std::future::pending::<()>().await;
    }

    async fn stop(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl Host for Embedded {
    async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error> {
        self.commands.push(id, entry).await
    }

    async fn status(&self, id: CommandId) -> Result<Status, Error> {
        self.commands.status(id).await
    }

    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error> {
        self.commands.wait(id, patience).await
    }

    async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
        self.commands.followers(id).await
    }

    async fn cancel(&self, id: CommandId) -> Result<Status, Error> {
        self.commands.cancel(id).await
    }

    async fn ended(&self) {
        let has_worker = self.worker.lock().is_some();
        if has_worker {
            self.worker_ended.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    async fn stop(&self) -> Result<(), Error> {
        self.stop_worker.cancel();
        let worker = self.worker.lock().take();
        let ended = match worker {
            None => Ok(()),
            Some(worker) => match worker.await {
                Ok(ended) => ended.map_err(Error::Worker),
                Err(_panicked) => Err(Error::WorkerPanicked),
            },
        };
        self.commands.engine.stop_waiting();
        self.stop_loops.cancel();
        self.loops.wait().await;
        self.commands.engine.close().await;
        ended
    }
}

/// Whoever drops the last handle without stopping still wants its process back.
impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop_worker.cancel();
        self.stop_loops.cancel();
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
            fault: error.map(|error| Fault {
                kind: error.kind.as_str().to_owned(),
                message: error.message.clone(),
            }),
            output: task.output,
        }
    }
}
