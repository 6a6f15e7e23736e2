//! A worker from its start to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use orchestratum_broker::Consumer;
use orchestratum_core::{EnvironmentName, TaskName};
use orchestratum_engine::{Engine, WorkerSettings, error};
use orchestratum_sandbox::{Sandbox, Shim};
use orchestratum_store::{NO_PROGRAMS, Registration};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::claim::ClaimLoop;
use crate::handler::Handler;
use crate::held::{HandBack, Held};
use crate::lane::{Lane, Lanes};
use crate::lease::{Heartbeat, Keeper, Steward};
use crate::offers::{Found, Offer, Offers};
use crate::outside::Outside;
use crate::shared::{Life, Programs, Shared};
use crate::slots::Slots;
use crate::{Error, health, isolation, live_logs, mailroom};

/// How many reports may be on their way, large ones counting for several (`report.rs`); claims stop beyond it.
const REPORTS: usize = 4_096;

/// How long the last reports and the farewell may take, after everything has ended.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How often a worker looks for what others left that were killed.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(30);

/// How many cells of environments and commands may wait for tasks beside as many as can run. One with an interpreter has some
/// 10 MiB.
const WAITING_MOST: usize = 16;

fn waiting_beside(settings: &WorkerSettings) -> usize {
    let kinds = settings.environments.len() + settings.commands.len();
    settings.processes() + kinds.min(WAITING_MOST)
}

/// Runs a worker with the built-in names until `stop`, then drains it.
pub async fn run(engine: Engine, stop: CancellationToken) -> Result<(), Error> {
    let kill = CancellationToken::new();
    let worker = tokio::select! {
        // It may have environments to make first.
        () = stop.cancelled() => return Ok(()),
        worker = Worker::builder(engine).build() => worker?,
    };
    worker.run(stop, kill).await
}

/// A worker that has not started yet.
pub struct Builder {
    engine: Engine,
    handlers: Offers,
    first_error: Option<Error>,
    built_in: bool,
    shim: Shim,
    render_metrics: Option<health::RenderMetrics>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Offers a name of the user's own.
    #[must_use]
    pub fn handler<H: Handler>(mut self, name: &str, handler: H) -> Self {
        let log_max_bytes = self.engine.settings().worker.log_max_bytes;
        if let Err(error) = self.handlers.add_handler(name, handler, log_max_bytes) {
            self.first_error.get_or_insert(error);
        }
        self
    }

    /// Offers nothing else: no built-in name and no command of the settings. It looks for no programs then, and needs no
    /// sandbox.
    #[must_use]
    pub fn handlers_only(mut self) -> Self {
        self.built_in = false;
        self
    }

    /// The program that acts as the sandbox's shim, where it cannot be the running one.
    #[must_use]
    pub fn shim(mut self, shim: Shim) -> Self {
        self.shim = shim;
        self
    }

    /// What `/metrics` answers.
    #[must_use]
    pub fn metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.render_metrics = Some(Arc::new(render));
        self
    }

    /// Looks what the machine has, and makes the folder for working directories, and environments where they are missing.
    /// It may be dropped half-way.
    ///
    /// # Errors
    /// [`Error::DuplicateName`], [`Error::InvalidName`] and [`Error::ReservedName`] of the handlers, [`Error::Sandbox`].
    pub async fn build(mut self) -> Result<Worker, Error> {
        if let Some(error) = self.first_error {
            return Err(error);
        }
        if !self.built_in {
            return Ok(Worker {
                engine: self.engine,
                offers: self.handlers,
                environments: Vec::new(),
                outside: Outside::default(),
                sandbox: None,
                render_metrics: self.render_metrics,
            });
        }
        let settings = self.engine.settings();
        self.handlers.add_echo()?;
        self.handlers
            .add_http(&settings.worker.http, settings.tasks.output_max_bytes)?;
        let outside = Outside::connect(settings).map_err(Error::Outside)?;
        self.handlers.add_messaging(&outside, settings)?;
        self.handlers.add_gitlab(&settings.gitlab)?;
        let machine = Found::on_this_machine(&settings.worker).await;
        let found = isolation::find(&settings.worker, &self.shim, &machine.folders()).await?;
        found.log(&settings.worker);
        let waiting = waiting_beside(&settings.worker);
        let sandbox = found.sandbox.map(|sandbox| Arc::new(sandbox.waiting_beside(waiting)));
        let mut environments = Vec::new();
        if let Some(sandbox) = &sandbox {
            let found = machine.environments(&settings.worker, sandbox).await;
            found.log();
            environments = found.ready();
            let programs = Programs::new(Arc::clone(sandbox), settings);
            self.handlers
                .add_programs(&settings.worker, machine, found, &programs)
                .await?;
        }
        Ok(Worker {
            engine: self.engine,
            offers: self.handlers,
            environments,
            outside,
            sandbox,
            render_metrics: self.render_metrics,
        })
    }
}

pub struct Worker {
    engine: Engine,
    offers: Offers,
    environments: Vec<EnvironmentName>,
    outside: Outside,
    sandbox: Option<Arc<Sandbox>>,
    render_metrics: Option<health::RenderMetrics>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("offers", &self.offers)
            .finish_non_exhaustive()
    }
}

impl Worker {
    pub fn builder(engine: Engine) -> Builder {
        Builder {
            engine,
            handlers: Offers::default(),
            first_error: None,
            built_in: true,
            shim: Shim::this_program(),
            render_metrics: None,
        }
    }

    /// The names whose tasks it runs.
    pub fn names(&self) -> impl Iterator<Item = &TaskName> {
        self.offers.names()
    }

    /// Works until `stop`; then claims nothing more, gives running tasks the configured time, and hands back the rest.
    /// `kill` ends that time at once.
    ///
    /// # Errors
    /// [`Error::Broker`], [`Error::LeaseThread`]; and, after draining, [`Error::TakerEnded`].
    ///
    /// Boxed, so that it is compiled here, once, and not again in every program that runs a worker.
    pub fn run(self, stop: CancellationToken, kill: CancellationToken) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(self.work(stop, kill))
    }

    async fn work(self, stop: CancellationToken, kill: CancellationToken) -> Result<(), Error> {
        let settings = self.engine.settings().worker.clone();
        let (lives, life) = watch::channel(None::<Life>);
        let shared = Arc::new(Shared {
            engine: self.engine,
            held: Held::default(),
            lanes: lanes(self.offers, &settings),
            targets: settings.targets.as_slice().into(),
            isolation: level(self.sandbox.as_deref()),
            live_logs: Arc::default(),
            reports: Slots::new(REPORTS, Arc::new(Notify::new())),
            tracker: TaskTracker::new(),
            registered: Mutex::default(),
            life,
            renew_now: Notify::new(),
        });
        let leaving = CancellationToken::new();
        let heartbeat = Heartbeat::new();
        let (registrations, registered) = mpsc::unbounded_channel();
        let (events, happened) = mpsc::unbounded_channel();
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            lease: settings.lease(),
            lives,
            registrations: registered,
            events,
            heartbeat: heartbeat.clone(),
            stop: leaving.clone(),
        };
        let steward = Steward {
            shared: Arc::clone(&shared),
            registration: registration(&settings, self.environments, &shared),
            registrations,
            events: happened,
            heartbeat,
            stop: leaving.clone(),
        };
        let consumer = shared
            .engine
            .broker()
            .consume(&settings.targets)
            .await
            .map_err(Error::Broker)?;
        let keeper = keeper.start()?;
        let mut parts = JoinSet::new();
        parts.spawn(steward.run());
        parts.spawn(clean_up(self.sandbox, leaving.clone()));
        parts.spawn(Outside::watch(self.outside.celery.clone(), leaving.clone()));
        start_tellers(&mut parts, &shared, self.render_metrics, &leaving);
        let stop_taking = stop.child_token();
        let mut takers = start_takers(&shared, consumer, &stop_taking);

        let ended = until_stopped(&mut takers, &stop).await;
        stop_taking.cancel();
        tracing::info!(
            running = shared.held.len(),
            "the worker stops: nothing is claimed any more"
        );
        join(takers).await;
        drain(&shared, &settings, &kill).await;
        leave(&shared).await;
        leaving.cancel();
        join(parts).await;
        keeper.join().await;
        self.outside.close().await;
        tracing::info!("the worker has left");
        ended
    }
}

/// Those who tell others how things stand: what programs write, and how the worker is.
fn start_tellers(
    parts: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    render_metrics: Option<health::RenderMetrics>,
    leaving: &CancellationToken,
) {
    parts.spawn(live_logs::run(Arc::clone(shared), leaving.clone()));
    match shared.engine.settings().worker.listen {
        Some(address) => {
            parts.spawn(health::serve(
                address,
                Arc::clone(shared),
                render_metrics,
                leaving.clone(),
            ));
        }
        // A worker in the process of another has no metrics of its own.
        None if render_metrics.is_some() => {
            tracing::info!("worker.listen is empty: this worker answers no health checks and shows no metrics");
        }
        None => {}
    }
}

/// Removes what workers leave that are killed while this one lives, which is code and inputs of tasks.
async fn clean_up(sandbox: Option<Arc<Sandbox>>, stop: CancellationToken) {
    let Some(sandbox) = sandbox else { return };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(CLEAN_UP_EVERY) => {}
        }
        let sandbox = Arc::clone(&sandbox);
        let _ = tokio::task::spawn_blocking(move || sandbox.remove_what_the_dead_left()).await;
    }
}

fn start_takers(shared: &Arc<Shared>, consumer: Consumer, stop: &CancellationToken) -> JoinSet<()> {
    let mut takers = JoinSet::new();
    takers.spawn(mailroom::run(Arc::clone(shared), consumer, stop.clone()));
    for lane in shared.lanes.all() {
        takers.spawn(ClaimLoop::new(shared, lane, stop).run());
    }
    takers
}

/// A worker that goes on without one of its takers would look alive and take nothing.
async fn until_stopped(takers: &mut JoinSet<()>, stop: &CancellationToken) -> Result<(), Error> {
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        Some(ended) = takers.join_next() => ended,
    };
    // It may have been told before this was.
    if ended.is_ok() && stop.is_cancelled() {
        return Ok(());
    }
    tracing::error!(error = ?ended, "a part of the worker that takes tasks ended by itself: the worker stops");
    Err(Error::TakerEnded(ended.err()))
}

/// Waits for all, also where one panicked: what comes after must still be done.
async fn join(mut parts: JoinSet<()>) {
    while let Some(ended) = parts.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the worker panicked");
        }
    }
}

/// In process, and programs, if there are any.
fn lanes(offers: Offers, settings: &WorkerSettings) -> Lanes {
    let (programs, in_process): (BTreeMap<_, _>, BTreeMap<_, _>) = offers
        .into_map()
        .into_iter()
        .partition(|(_, offer)| matches!(offer, Offer::Program(_)));
    let mut lanes = vec![Lane::new(in_process, settings.in_process_concurrency)];
    if !programs.is_empty() {
        lanes.push(Lane::new(programs, settings.processes()));
    }
    Lanes::new(lanes)
}

fn level(sandbox: Option<&Sandbox>) -> &'static str {
    sandbox.map_or(NO_PROGRAMS, |sandbox| sandbox.isolation().as_str())
}

fn registration(settings: &WorkerSettings, environments: Vec<EnvironmentName>, shared: &Shared) -> Registration {
    let name = if settings.name.is_empty() {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}-{}", host.trim(), std::process::id())
    } else {
        settings.name.clone()
    };
    Registration {
        id: shared.engine.clock().new_worker_id(),
        name,
        targets: settings.targets.clone(),
        names: shared.lanes.names(),
        capacity: u32::try_from(shared.lanes.capacity()).unwrap_or(u32::MAX),
        isolation: shared.isolation.to_owned(),
        environments,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease: settings.lease(),
    }
}

/// Waits for what runs, then hands it back.
async fn drain(shared: &Shared, settings: &WorkerSettings, kill: &CancellationToken) {
    shared.tracker.close();
    tokio::select! {
        () = shared.tracker.wait() => return,
        () = sleep(Duration::from_secs_f64(settings.drain_seconds)) => {}
        () = kill.cancelled() => {}
    }
    tracing::info!(
        running = shared.held.len(),
        "what still runs is stopped and handed back"
    );
    shared.held.order_all(|orders| orders.hand_back = HandBack::WithGrace);
    tokio::select! {
        () = shared.tracker.wait() => return,
        () = sleep(shared.kill_grace() + LAST_WORDS) => {}
        () = kill.cancelled() => {}
    }
    shared.held.order_all(|orders| orders.hand_back = HandBack::AtOnce);
    if timeout(LAST_WORDS, shared.tracker.wait()).await.is_err() {
        // The lease runs out, and with it they are lost.
        tracing::warn!(unreported = shared.held.len(), "not everything could be handed back");
        shared.held.abandon_all();
    }
}

async fn leave(shared: &Shared) {
    let Some(worker) = *shared.registered.lock() else {
        return;
    };
    match timeout(LAST_WORDS, shared.engine.worker_leaves(worker)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %error::chain(&error), "the worker could not say that it leaves"),
        Err(_elapsed) => tracing::warn!("the worker could not say that it leaves in time"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_worker_ends_with_a_taker_that_panics_or_returns_before_the_stop() {
        let stop = CancellationToken::new();
        let mut takers = JoinSet::new();
        takers.spawn(pending());
        takers.spawn(async { panic!("at the disco") });
        let ended = until_stopped(&mut takers, &stop).await;
        assert!(matches!(ended, Err(Error::TakerEnded(Some(_)))), "{ended:?}");
        takers.spawn(async {});
        let ended = until_stopped(&mut takers, &stop).await;
        assert!(matches!(ended, Err(Error::TakerEnded(None))), "{ended:?}");
        stop.cancel();
        assert!(until_stopped(&mut takers, &stop).await.is_ok());
    }

    #[tokio::test]
    async fn a_panic_of_a_part_does_not_keep_the_worker_from_leaving() {
        let mut parts = JoinSet::new();
        parts.spawn(async { panic!("at the disco") });
        parts.spawn(async {});
        join(parts).await;
    }
}
