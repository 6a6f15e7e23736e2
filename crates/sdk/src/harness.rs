//! Tests of commands and handlers: everything in memory, and time that passes when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Ending, Progress};
use orchestratum_core::{Target, TaskName, Timestamp, WorkerId};
use orchestratum_engine::Engine;
use orchestratum_engine::clock::Clock;
use orchestratum_engine::error::panic_message;
use orchestratum_store::{ClaimRequest, ClaimedTask, Evidence, NO_PROGRAMS, Registration};
use orchestratum_worker::{Handled, HandlerError};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::builder::Options;
use crate::handler::{Context, Tell};
use crate::host::Host;
use crate::host::embedded::{Commands, settings};
use crate::registry::Registry;
use crate::{Command, CommandId, Envelope, Error, Failure, Followers, Orchestratum, Outcome, Status};

/// How long handlers have, in real time, before the clock is moved: those that wait for the clock never end by themselves.
const SETTLING: Duration = Duration::from_millis(250);

/// How long a handler may run that nobody stops, in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// No test moves its clock further: the worker of the harness lives as long.
const FOR_EVER: Duration = Duration::from_secs(1_000 * 365 * 86_400);

/// Commands and their handlers on a database in memory, with a clock that only the test moves.
///
/// Nothing happens by itself: [`run_until_idle`](Self::run_until_idle) runs what is due, with its retries and what comes after
/// it; [`advance`](Self::advance) lets time pass, so that what is delayed becomes due and what takes too long is timed out. It
/// is the engine of an embedded host, so what is tested is what will run.
///
/// ```standalone_crate
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(chain)]
/// struct OrderCommand;
///
/// #[derive(Command, Serialize, Deserialize)]
/// struct RemindCommand;
///
/// impl Chain for OrderCommand {
///     fn on_success(&self, (): &(), next: &mut Next) {
///         next.push(RemindCommand.after(Duration::from_secs(86_400)));
///     }
/// }
///
/// #[derive(Handler)]
/// #[handler(OrderCommand, RemindCommand)]
/// struct Shop;
///
/// impl Handler<OrderCommand> for Shop {
///     async fn handle(&self, _command: &OrderCommand, _context: &Context) -> Result<(), Failure> {
///         Ok(())
///     }
/// }
///
/// impl Handler<RemindCommand> for Shop {
///     async fn handle(&self, _command: &RemindCommand, _context: &Context) -> Result<(), Failure> {
///         Ok(())
///     }
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<(), orchestratum_sdk::Error> {
///     let mut harness = Harness::builder().discover().harness().await?;
///     let order = harness.push(OrderCommand).await?;
///     harness.run_until_idle().await?;
///     let reminder = harness.followers(order).await?.commands.remove(0);
///     assert_eq!(reminder.state, State::Pending);
///
///     harness.advance(Duration::from_secs(86_400)).await?;
///     assert_eq!(harness.status(reminder.id).await?.state, State::Completed);
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Harness {
    commands: Commands,
    registry: Registry,
    worker: WorkerId,
    targets: Vec<Target>,
    names: Vec<TaskName>,
    attempts: JoinSet<Result<Handled, Failure>>,
    running: BTreeMap<Id, Running>,
    told: BTreeMap<CommandId, Arc<Told>>,
}

#[derive(Debug)]
struct Running {
    task: ClaimedTask,
    handler: AbortHandle,
    stopping: CancellationToken,
    stopped: Option<Cause>,
}

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    TimedOut,
    Expired,
    Cancelled,
}

impl Harness {
    /// A [builder](crate::Builder) to be ended by [`harness`](crate::Builder::harness); that of the program under test does as
    /// well.
    pub fn builder() -> crate::Builder {
        Orchestratum::embedded("sqlite::memory:")
    }

    pub(crate) async fn start(options: &Options, registry: Registry) -> Result<Self, Error> {
        let settings = settings("sqlite::memory:", options)?;
        let store = orchestratum_store::connect(settings.database.url.expose_secret(), &settings.database.options())
            .await
            .map_err(|error| Error::Engine(error.into()))?;
        let no_broker = orchestratum_broker::Options::default();
        let broker = orchestratum_broker::connect("database", &no_broker, Arc::clone(&store))
            .await
            .map_err(|error| Error::Engine(error.into()))?;
        let now = store
            .database_time()
            .await
            .map_err(|error| Error::Engine(error.into()))?;
        let targets = settings.worker.targets.clone();
        let engine = Engine::assemble(settings, store, broker, Clock::manual(now));
        engine.migrate().await.map_err(Error::Engine)?;
        let names = registry
            .names()
            .map(|name| TaskName::new(name).map_err(|_| Error::Refused(format!("`{name}` is no name of a command"))))
            .collect::<Result<Vec<_>, _>>()?;
        let worker = engine.clock().new_worker_id();
        let registration = Registration {
            id: worker,
            name: "harness".to_owned(),
            targets: targets.clone(),
            names: names.clone(),
            capacity: 1,
            isolation: NO_PROGRAMS.to_owned(),
            environments: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lease: FOR_EVER,
        };
        engine.register_worker(&registration).await.map_err(Error::Engine)?;
        Ok(Self {
            commands: Commands {
                engine,
                default_target: options.targets.first().cloned(),
            },
            registry,
            worker,
            targets,
            names,
            attempts: JoinSet::new(),
            running: BTreeMap::new(),
            told: BTreeMap::new(),
        })
    }

    /// What the program under test pushes to.
    pub fn orchestratum(&self) -> Orchestratum {
        Orchestratum::of(Arc::new(self.commands.clone()))
    }

    /// Stores a command: see [`Orchestratum::push`].
    pub async fn push<C: Command>(&self, command: impl Into<Envelope<C>> + Send) -> Result<CommandId, Error> {
        self.orchestratum().push(command).await
    }

    /// Stores a command, runs until nothing is due, and answers how it ended; `None` if it has not.
    pub async fn run<C: Command>(
        &mut self,
        command: impl Into<Envelope<C>> + Send,
    ) -> Result<Option<Outcome<C::Output>>, Error> {
        let id = self.push(command).await?;
        self.run_until_idle().await?;
        self.status(id).await?.outcome()
    }

    pub async fn status(&self, id: CommandId) -> Result<Status, Error> {
        self.commands.status(id).await
    }

    pub async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
        self.commands.followers(id).await
    }

    /// What the handler of a command wrote to its log, over all attempts.
    pub fn log(&self, id: CommandId) -> Vec<String> {
        self.told
            .get(&id)
            .map_or_else(Vec::new, |told| told.lines.lock().clone())
    }

    /// Cancels a command, and waits until its handler has ended if it runs.
    pub async fn cancel(&mut self, id: CommandId) -> Result<Status, Error> {
        self.commands.cancel(id).await?;
        for running in self.running.values_mut().filter(|running| running.task.id == id) {
            running.stop(Cause::Cancelled);
        }
        self.end_stopped().await?;
        self.status(id).await
    }

    /// Runs what is due, with its retries and what comes after it, until nothing is left to do at this time.
    ///
    /// # Panics
    /// If a handler neither ends nor waits for a clock that is moved: after 30 s.
    pub async fn run_until_idle(&mut self) -> Result<(), Error> {
        loop {
            self.start_due().await?;
            let ended = timeout(PATIENCE, self.attempts.join_next_with_id()).await;
            match ended {
                Ok(Some(ended)) => self.end(ended).await?,
                Ok(None) => return Ok(()),
                Err(elapsed) => {
                    let names: Vec<&str> = self
                        .running
                        .values()
                        .map(|running| running.task.name.as_str())
                        .collect();
                    panic!(
                        "{elapsed}: {} has not ended within {} s; stop it by `cancel`, or by `advance` beyond its timeout",
                        names.join(", "),
                        PATIENCE.as_secs()
                    )
                }
            }
        }
    }

    /// Starts what is due and gives it a moment, lets so much time pass, stops what has run out of it, and runs what is due now:
    /// until nothing is left to do, or what runs waits for more time to pass.
    pub async fn advance(&mut self, duration: Duration) -> Result<(), Error> {
        self.settle().await?;
        self.commands.engine.clock().advance(duration);
        let now = self.commands.engine.clock().now();
        for running in self.running.values_mut() {
            if let Some(cause) = running.out_of_time(now) {
                running.stop(cause);
            }
        }
        self.end_stopped().await?;
        self.settle().await
    }

    /// Runs what ends by itself soon.
    async fn settle(&mut self) -> Result<(), Error> {
        loop {
            self.start_due().await?;
            match timeout(SETTLING, self.attempts.join_next_with_id()).await {
                Ok(Some(ended)) => self.end(ended).await?,
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    async fn start_due(&mut self) -> Result<(), Error> {
        let engine = self.commands.engine.clone();
        while engine.sweep_once().await.map_err(Error::Engine)? {}
        loop {
            let request = ClaimRequest {
                worker: self.worker,
                named: Vec::new(),
                targets: self.targets.clone(),
                names: self.names.clone(),
                limit: 100,
                fill_up: true,
            };
            let claimed = engine.claim(&request).await.map_err(Error::Engine)?;
            if claimed.is_empty() {
                return Ok(());
            }
            for task in claimed {
                self.start_one(task);
            }
        }
    }

    fn start_one(&mut self, task: ClaimedTask) {
        let run = self.registry.of(task.name.as_str()).cloned();
        let stopping = CancellationToken::new();
        let teller = Arc::clone(self.told.entry(task.id).or_default());
        let context = Context {
            id: task.id,
            name: task.name.to_string(),
            target: task.target.to_string(),
            attempt: task.attempt,
            run: task.run,
            stopping: stopping.clone(),
            orchestratum: self.orchestratum(),
            teller,
        };
        let input = task.input.clone();
        let attempt = self.attempts.spawn(async move {
            match run {
                Some(run) => run.run(&input, &context).await,
                None => Err(Failure::not_found(format!("nobody runs `{}` here", context.name))),
            }
        });
        let id = attempt.id();
        let running = Running {
            task,
            handler: attempt,
            stopping,
            stopped: None,
        };
        self.running.insert(id, running);
    }

    /// Waits for those that were stopped; one that does not obey is dropped.
    async fn end_stopped(&mut self) -> Result<(), Error> {
        while self.running.values().any(|running| running.stopped.is_some()) {
            match timeout(SETTLING, self.attempts.join_next_with_id()).await {
                Ok(Some(ended)) => self.end(ended).await?,
                Ok(None) => return Ok(()),
                Err(_elapsed) => {
                    let stopped: Vec<Id> = self
                        .running
                        .iter()
                        .filter(|(_, running)| running.stopped.is_some())
                        .map(|(id, _)| *id)
                        .collect();
                    for id in stopped {
                        if let Some(running) = self.running.remove(&id) {
                            running.handler.abort();
                            self.report(running, Err(Failure::new("the handler was stopped")))
                                .await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn end(&mut self, ended: Result<(Id, Result<Handled, Failure>), JoinError>) -> Result<(), Error> {
        let (id, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let id = error.id();
                let message = match error.try_into_panic() {
                    Ok(panic) => format!("the handler panicked: {}", panic_message(panic.as_ref())),
                    Err(error) => format!("the handler was stopped: {error}"),
                };
                (id, Err(Failure::new(message)))
            }
        };
        match self.running.remove(&id) {
            Some(running) => self.report(running, result).await,
            // It was given up before.
            None => Ok(()),
        }
    }

    async fn report(&self, running: Running, result: Result<Handled, Failure>) -> Result<(), Error> {
        let mut evidence = Evidence {
            progress: self.told.get(&running.task.id).and_then(|told| *told.progress.lock()),
            ..Evidence::default()
        };
        let ending = match (result, running.stopped) {
            (Ok(handled), _) => {
                evidence.output = Some(handled.output);
                evidence.follow_ups = handled.follow_ups;
                Ending::Success
            }
            (Err(_), Some(cause)) => cause.ending(&running.task),
            (Err(failure), None) => ending(failure),
        };
        let task = &running.task;
        let finished = self
            .commands
            .engine
            .finish(task.id, task.attempt, ending, evidence)
            .await;
        finished.map(drop).map_err(Error::Engine)
    }
}

impl Running {
    fn out_of_time(&self, now: Timestamp) -> Option<Cause> {
        let times_out = self.task.timeout.map(|timeout| self.task.started_at + timeout);
        if self.task.expires_at <= now {
            Some(Cause::Expired)
        } else if times_out.is_some_and(|at| at <= now) {
            Some(Cause::TimedOut)
        } else {
            None
        }
    }

    fn stop(&mut self, cause: Cause) {
        self.stopped.get_or_insert(cause);
        self.stopping.cancel();
    }
}

impl Cause {
    fn ending(self, task: &ClaimedTask) -> Ending {
        match self {
            Self::TimedOut => Ending::TimedOut {
                message: format!(
                    "the attempt took longer than its timeout of {} s",
                    task.timeout.unwrap_or_default().as_secs_f64()
                ),
            },
            Self::Expired => Ending::Expired {
                message: format!("the time-to-live ended at {}; it was stopped", task.expires_at),
            },
            Self::Cancelled => Ending::Cancelled {
                message: "cancelled on request".to_owned(),
            },
        }
    }
}

fn ending(failure: Failure) -> Ending {
    match failure.0 {
        HandlerError::Retryable(message) => Ending::Failed {
            message,
            retryable: true,
            code: None,
        },
        HandlerError::Permanent(message) => Ending::Failed {
            message,
            retryable: false,
            code: None,
        },
        HandlerError::Coded {
            message,
            retryable,
            code,
        } => Ending::Failed {
            message,
            retryable,
            code: Some(code),
        },
        HandlerError::TimedOut(message) => Ending::TimedOut { message },
        HandlerError::NotFound(message) => Ending::NotFound { message },
        HandlerError::Cancelled(message) => Ending::Cancelled { message },
    }
}

/// What handlers told of one command.
#[derive(Debug, Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    progress: Mutex<Option<Progress>>,
}

impl Tell for Told {
    fn progress(&self, progress: Progress) {
        *self.progress.lock() = Some(progress);
    }

    fn log(&self, line: &str) {
        self.lines.lock().push(line.to_owned());
    }
}
