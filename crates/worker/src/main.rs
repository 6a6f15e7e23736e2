//! The worker as a process of its own.

mod probe;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use orchestratum_engine::{Engine, Settings, error, telemetry};
use orchestratum_store as store;
use orchestratum_worker::Worker;
use secrecy::ExposeSecret;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

// A step of a saga makes hundreds of small allocations: see the benchmark for what glibc's own costs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often a worker that waits for the database looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often it says what it waits for.
const SAY_AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(
    name = "orchestratum-worker",
    version,
    about = "Claims tasks, runs them, and reports how they ended"
)]
struct Arguments {
    /// Ask the worker at `worker.listen` whether it lives, and exit with 0 if it does.
    #[arg(long)]
    health: bool,
}

fn main() -> ExitCode {
    // First of all: this program starts itself again as the guard of a task's process.
    orchestratum_sandbox::shim::run_if_asked();
    let prepared = orchestratum_sandbox::host::prepare().context("this process cannot be closed to its tasks");
    match prepared.and_then(|()| run(&Arguments::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orchestratum-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings::load()?;
    if arguments.health {
        return probe::ask(settings.worker.listen);
    }
    if settings.database.url.expose_secret().starts_with("sqlite:") {
        bail!(
            "an SQLite database has one owner process, so a worker cannot join it: run `orchestratum dev`, or set \
             worker.embedded = true for orchestratum-api, or use PostgreSQL"
        );
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(work(settings))
}

async fn work(settings: Settings) -> anyhow::Result<()> {
    let _logs = telemetry::init(telemetry::Role::Worker, &settings.logs)?;
    let metrics = telemetry::metrics();
    let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(obey_signals(stop.clone(), kill.clone()));
    let Some(engine) = connect(&settings, &stop).await? else {
        return Ok(());
    };
    tokio::spawn(async move {
        loop {
            // Without it, histograms grow for ever.
            metrics.run_upkeep();
            tokio::time::sleep(SAY_AGAIN).await;
        }
    });
    let building = Worker::builder(engine.clone()).metrics(|| metrics.render()).build();
    let ended = tokio::select! {
        // It may have environments to make first.
        () = stop.cancelled() => Ok(()),
        worker = building => worker?.run(stop.clone(), kill).await,
    };
    engine.close().await;
    Ok(ended?)
}

/// Waits for the database, and for the schema this program needs: the api brings it. `None` when told to stop.
async fn connect(settings: &Settings, stop: &CancellationToken) -> anyhow::Result<Option<Engine>> {
    let mut connected = None;
    let mut said_at: Option<Instant> = None;
    let mut say = |reason: String| {
        if said_at.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
            said_at = Some(Instant::now());
            tracing::info!(reason, "the worker waits for the database");
        }
    };
    loop {
        let engine = if let Some(engine) = connected.take() {
            Ok(engine)
        } else {
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                engine = Engine::connect(settings.clone()) => engine,
            }
        };
        match engine {
            Ok(engine) => match engine.store().check_schema().await {
                Ok(()) => return Ok(Some(engine)),
                Err(error @ (store::Error::SchemaVersion { .. } | store::Error::Unavailable(_))) => {
                    say(error::chain(&error));
                    connected = Some(engine);
                }
                Err(error) => return Err(error.into()),
            },
            Err(error) if error.is_transient() => say(error::chain(&error)),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// The first signal drains, the second one ends the waiting.
async fn obey_signals(stop: CancellationToken, kill: CancellationToken) {
    let listen = |kind| signal(kind);
    let (Ok(mut terminate), Ok(mut interrupt)) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be listened to: the worker stops only when it is killed");
        return;
    };
    either(&mut terminate, &mut interrupt).await;
    stop.cancel();
    either(&mut terminate, &mut interrupt).await;
    kill.cancel();
}

async fn either(first: &mut Signal, second: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}
